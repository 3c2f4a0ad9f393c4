"""Downloads of stored files: ranges, conditions, redirects to the store, and headers by which browsers stay safe."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import IO, Annotated, Any

from flask import Response
from msgspec import Meta
from werkzeug.exceptions import PreconditionFailed
from werkzeug.wsgi import wrap_file

from gopher.errors import GopherError, ServerError
from gopher.files.names import disposition
from gopher.files.seen import say_store
from gopher.files.store import FileMissing, Reading, Store, StoredFile, StoreError, StoreUnavailable
from gopher.interface.operation import FILE

from .context import current_request, gopher

#: How often a file is looked at again that another attempt of its job replaces at the same time.
_ATTEMPTS = 3
#: Types that browsers show in place. Everything else, such as HTML and SVG, might run scripts and is saved to disk.
SHOWN = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp"})
#: One range of bytes. Everything else is ignored, as if it was not sent (RFC 9110, 14.2).
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.I)
#: As answers of an operation: 304 and 302 have no content.
STATUSES: Mapping[int, Any] = {200: FILE, 206: FILE, 302: None, 304: None}
HEADERS = {
    "Range": Annotated[str, Meta(description="The part that is wanted.", examples=["bytes=0-1023"])],
    "If-Match": Annotated[str, Meta(description="Only if the file still has this ETag.")],
    "If-None-Match": Annotated[str, Meta(description="Not if the file still has this ETag.", examples=['"1f-5a3"'])],
    "If-Range": Annotated[str, Meta(description="The range only if the file still has this ETag.")],
}


def download(job_id: str, name: str, *, redirects: bool) -> Response:
    """Return the response with a file that a job has stored. Raises FileMissing, JobNotFound, a StoreError."""
    files = gopher().files
    return _sent(files.key_of(job_id, name), name, partial(files.missing, job_id, name), redirects=redirects)


def download_upload(job_id: str, name: str, *, redirects: bool) -> Response:
    """Return the response with a file that a job was submitted with. Raises as `download` does, and JobConflict."""
    files = gopher().files
    missing = partial(files.missing_upload, job_id, name)
    return _sent(files.key_of_upload(job_id, name), name, missing, redirects=redirects)


def _sent(key: str, name: str, missing: Callable[[], GopherError], *, redirects: bool) -> Response:
    files = gopher().files
    tell_store()
    for _ in range(_ATTEMPTS):
        stored = files.store.stat(key)
        if stored is None:
            raise missing()
        response = _described(stored)
        if response.status_code == 304 or current_request().method == "HEAD":
            return response
        if redirects and (url := files.store.presigned(key)) is not None:
            return Response(status=302, headers={"Location": url})
        content = _content(files.store, stored, response)
        if content is not None:
            return _filled(response, content)
    raise StoreUnavailable(f"the file {name!r:.150} is being replaced: try again")


def tell_store() -> None:
    """Let `gopherctl doctor` know which store this process uses."""
    # What can't be told now is told later.
    with suppress(ServerError, StoreError):
        say_store(gopher().server)


def _described(stored: StoredFile) -> Response:
    """Return a response that lacks nothing but the content; of what the request asks for, a part or nothing."""
    shown = "inline" if stored.content_type in SHOWN else "attachment"
    response = Response(
        mimetype=stored.content_type,
        headers={
            "Content-Disposition": disposition(stored.name, shown),
            # It may be kept, but has to be asked for again: access may have been withdrawn.
            "Cache-Control": "private, no-cache",
            "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        },
    )
    response.content_length = stored.size
    response.set_etag(stored.etag)
    response.last_modified = stored.modified  # type: ignore[assignment]
    environ = current_request().environ
    part = _part(environ, stored.size)
    conditions = {name: value for name, value in environ.items() if name != "HTTP_RANGE"}
    if environ.get("HTTP_IF_MATCH", "").strip() == "*":
        # There is such a file. Werkzeug takes it for an ETag.
        del conditions["HTTP_IF_MATCH"]
    response.make_conditional(conditions, accept_ranges=True)
    if response.status_code == 412:
        raise PreconditionFailed("the file does not have the ETag of If-Match")
    if part is not None and response.status_code == 200:
        # Raises RequestedRangeNotSatisfiable.
        response.make_conditional({**conditions, "HTTP_RANGE": part}, accept_ranges=True, complete_length=stored.size)
    return response


def _part(environ: Mapping[str, Any], size: int) -> str | None:
    """Return the range that a request asks for, None if it asks for none."""
    asked = _RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
    if asked is None or environ["REQUEST_METHOD"] != "GET":
        return None
    first, last, suffix = asked.groups()
    if suffix is not None:
        # At most the whole file.
        return f"bytes=-{min(int(suffix), size)}"
    return None if last and int(last) < int(first) else f"bytes={first}-{last}"


def _content(store: Store, stored: StoredFile, response: Response) -> Iterable[bytes] | None:
    """Return the part of a file that a response announces; None if the file has been replaced."""
    part = response.content_range
    start, stop = (part.start or 0, part.stop) if response.status_code == 206 else (0, stored.size)
    if store.path(stored.key) is None:
        reading = store.read(stored.key, start, stop)
        return _Pieces(reading, (stop or 0) - start) if reading.file.etag == stored.etag else None
    file = _on_disk(store, stored)
    if file is None:
        return None
    file.seek(start)
    # gunicorn has the system send it.
    return wrap_file(current_request().environ, file)


def _filled(response: Response, content: Iterable[bytes]) -> Response:
    length = response.content_length
    response.response, response.direct_passthrough = content, True
    # Setting the content has removed it.
    response.content_length = length
    return response


def _on_disk(store: Store, stored: StoredFile) -> IO[bytes] | None:
    """Open a file of a store on this machine's disk, None if it has been replaced."""
    path = store.path(stored.key)
    assert path is not None
    try:
        # Unbuffered: the position is that of the descriptor, as the system needs it.
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed with the response
    except FileNotFoundError:
        return None
    status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime) == (stored.size, stored.modified):
        return file
    file.close()
    return None


class _Pieces:
    """What is read of a store, as the content of a response."""

    def __init__(self, reading: Reading, length: int) -> None:
        self._reading = reading
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._reading:
            # A file that was replaced by a longer one must not end in the next response.
            yield piece[: self._left]
            self._left -= len(piece)
            if self._left <= 0:
                return
        if self._left:
            raise FileMissing("a file became shorter while it was sent")

    def close(self) -> None:
        self._reading.close()
