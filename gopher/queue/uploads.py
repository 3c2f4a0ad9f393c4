"""Bounds on uploads that no job uses yet (GOPHER_UPLOADS_MAX), so that no client fills the store."""

import hashlib
from collections.abc import Iterable

from gopher.base.salvage import text
from gopher.errors import UploadLimit
from gopher.server.calls import Call, Command

from .scripts import script
from .store import Server


def reserve(server: Server, owner: str, file_id: str, size: int) -> None:
    """Count an upload before it is stored. Raises UploadLimit, a ServerError."""
    settings = server.settings
    ttl = str(round(settings.upload_ttl * 1000))
    arguments = (_member(file_id, size), str(size), ttl, str(settings.uploads_max), str(settings.uploads_max_bytes))
    beyond = server.run(Call(script("api/reserve_upload"), _key(server, owner), arguments, text))
    if beyond:
        most, which = {
            "count": (f"{settings.uploads_max} uploads", "GOPHER_UPLOADS_MAX"),
            "bytes": (f"uploads of {settings.uploads_max_bytes} bytes", "GOPHER_UPLOADS_MAX_BYTES"),
        }[beyond]
        raise UploadLimit(
            f"can't be stored: more than {most} would wait for a job ({which}); submit jobs that use them, or try "
            "again when some have expired",
            "/file",
        )


def release(server: Server, owner: str, uploads: Iterable[tuple[str, int]]) -> None:
    """Count uploads, each an id and a size, no more: jobs use them, or they are deleted. Raises a ServerError."""
    members = [_member(*each) for each in uploads]
    if members:
        key = _key(server, owner)
        server.run_all([Command(key, ("ZREM", key, *members))])


def _key(server: Server, owner: str) -> str:
    return server.keys.unused_uploads(hashlib.sha256(owner.encode()).hexdigest()[:16])


def _member(file_id: str, size: int) -> str:
    return f"{file_id} {size}"
