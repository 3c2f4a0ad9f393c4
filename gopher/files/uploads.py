"""Uploaded files, which jobs are submitted with.

An upload can be used by new jobs for `GOPHER_UPLOAD_TTL`, by any number of them. Each is recorded on the server before
it is stored, so that the file is kept as long as one of them (see `sweeping`).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gopher.base.names import PART_NAME
from gopher.errors import InvalidJob
from gopher.jobs.job import FileRef
from gopher.jobs.submission import MAX_FILES
from gopher.server.errors import explained

from .names import is_file_id, upload_key
from .store import Store

if TYPE_CHECKING:
    from gopher.queue.store import Server

#: Seconds for which it is remembered which jobs use an upload; renewed while they exist.
REMEMBERED = 90 * 86400


def use_uploads(
    store: Store, server: "Server", owner: str, files: Mapping[str, str], job_ids: Sequence[str]
) -> dict[str, FileRef]:
    """Return the uploads of an owner that jobs are going to be submitted with, by name, for their envelopes.

    `files` are ids of uploads by the names that the handler knows. Call it before the jobs are stored, or
    without ids to check only. Raises InvalidJob, naming the field, and StoreError.
    """
    if len(files) > MAX_FILES:
        raise InvalidJob(f"has {len(files)} files: at most {MAX_FILES} are allowed", "/files")
    # The record comes first: what is found afterwards is not swept before these jobs are stored.
    found = {name: upload_key(owner, _checked(name, file_id)) for name, file_id in files.items()}
    claim(server, found.values(), job_ids)
    return {name: _ref(store, server, key, f"/files/{name}") for name, key in found.items()}


def keep_uploads(store: Store, server: "Server", files: Mapping[str, FileRef], job_id: str) -> None:
    """Keep the uploads of a job for another one, too, also those that new jobs can't be submitted with any more.

    Call it before that job is stored. Raises InvalidJob, naming the field, and StoreError.
    """
    claim(server, [ref.key for ref in files.values()], [job_id])
    for name, ref in files.items():
        if store.stat(ref.key) is None:
            raise InvalidJob("there is no such uploaded file any more", f"/files/{name}")


def _checked(name: str, file_id: str) -> str:
    if not PART_NAME.fullmatch(name):
        raise InvalidJob(f"has the name {name!r:.80}: must match {PART_NAME.pattern}", "/files")
    if not is_file_id(file_id):
        raise InvalidJob(
            "is not the id of an uploaded file: use file_id of the answer to POST /files", f"/files/{name}"
        )
    return file_id


def _ref(store: Store, server: "Server", key: str, field: str) -> FileRef:
    stored = store.stat(key)
    if stored is None or stored.modified + server.settings.upload_ttl < time.time():
        raise InvalidJob("there is no such uploaded file, or it has expired: upload it again", field)
    return FileRef(key, stored.name, stored.size, stored.content_type)


def claim(server: "Server", uploads: Iterable[str], job_ids: Sequence[str]) -> None:
    """Keep uploads, by their keys, as long as one of these jobs."""
    if not job_ids:
        return
    with explained():
        for key in map(server.keys.claims, uploads):
            pipe = server.client.pipeline(transaction=False)
            pipe.sadd(key, *job_ids)
            pipe.expire(key, REMEMBERED)
            pipe.execute()


def remember(server: "Server", upload: str) -> None:
    """Remember for longer which jobs use an upload that is kept."""
    with explained():
        server.client.expire(server.keys.claims(upload), REMEMBERED)


def claims(server: "Server", upload: str) -> set[str]:
    """Return the ids of jobs that were submitted with an upload, whether they exist or not."""
    with explained():
        return {each.decode() for each in server.client.smembers(server.keys.claims(upload))}
