"""Files over the HTTP API."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from gopher.base.names import canonical_id
from gopher.errors import OutcomeUnknown
from gopher.files.store import PIECE, FileMissing
from gopher.files.transfers import Content, name_of, opened, save_pieces, size_of
from gopher.hooks import holding
from gopher.interface import FilesInterface
from gopher.interface.operation import declaration_of
from gopher.jobs.files import Upload

from .decode import read
from .operations import OverHttp, path_of

#: How often an upload is sent whose answer is lost. The first one, if it has arrived, expires unused.
_ATTEMPTS = 2


class HttpFiles(OverHttp, FilesInterface):
    """The files of an API."""

    def upload(self, file: Content, name: str = "", content_type: str = "") -> Upload:
        """Upload a file. Raises InvalidJob if it is too large or of a wrong type."""
        with opened(file) as content:
            name = name or name_of(file)
            if holding.holder is not None:
                return holding.holder.upload(name, size_of(content))
            headers = {
                "Content-Type": content_type or "application/octet-stream",
                "Content-Length": str(size_of(content)),
            }
            return self._sent(_Body(content), {"name": name or None}, headers)

    def _sent(self, body: "_Body", query: dict[str, str | None], headers: dict[str, str]) -> Upload:
        route = declaration_of(FilesInterface.upload).route
        for attempt in range(_ATTEMPTS):
            try:
                return read(Upload, self._api.call("POST", route, query=query, body=body, headers=headers).body)
            except OutcomeUnknown:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def read(self, job_id: str, name: str) -> bytes:
        """Return the content of a file that a job has stored. Raises FileMissing, JobNotFound."""
        with self._api.download(_path(job_id, name)) as pieces:
            return b"".join(pieces)

    def save(self, job_id: str, name: str, to: str | os.PathLike[str]) -> Path:
        """Download a file that a job has stored to a path or into a folder. Raises as `read` does."""
        with self._api.download(_path(job_id, name)) as pieces:
            return save_pieces(pieces, name, to)

    def read_upload(self, job_id: str, name: str) -> bytes:
        """Return the content of a file that a job was submitted with. Raises FileMissing, JobNotFound."""
        with self._api.download(_path(job_id, name, FilesInterface.read_upload)) as pieces:
            return b"".join(pieces)

    def save_upload(self, job_id: str, name: str, to: str | os.PathLike[str]) -> Path:
        """Download a file that a job was submitted with to a path. Raises as `read_upload` does."""
        with self._api.download(_path(job_id, name, FilesInterface.read_upload)) as pieces:
            return save_pieces(pieces, name, to)


class _Body:
    """The rest of a file in pieces, from the same place each time it is sent."""

    def __init__(self, content: BinaryIO) -> None:
        self._content, self._start = content, content.tell()

    def __iter__(self) -> Iterator[bytes]:
        self._content.seek(self._start)
        while piece := self._content.read(PIECE):
            yield piece


def _path(job_id: str, name: str, method: Callable[..., bytes] = FilesInterface.read) -> str:
    if not name or "/" in name:
        raise FileMissing(f"job {job_id} has no file {name!r:.150}")
    return path_of(declaration_of(method), {"job_id": canonical_id(job_id), "name": name})
