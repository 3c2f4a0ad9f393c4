"""`file:`: files in the folder `GOPHER_FILES`.

A file is written under a hidden temporary name and renamed. What an upload is called is beside it, in a hidden file
that is written first; files of jobs need none.
"""

import os
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from gopher.server.crashpoints import reached

from .names import INSTALLATIONS, JOBS, UPLOADS, check_key, content_type_of
from .store import (
    ABANDONED,
    PIECE,
    FileMissing,
    Reading,
    Store,
    StoredFile,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    chunks_of,
    span,
)

#: A file with an id, by which processes tell whether they see the same folder.
MARK = ".gopher-store"
_FULL = frozenset({28, 122})  # ENOSPC, EDQUOT


class _About(msgspec.Struct):
    content_type: str
    name: str


class FolderStore(Store):
    """Files in a folder that all processes share."""

    url = "file:"

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def write(
        self, key: str, content: BinaryIO | Iterable[bytes], *, limit: int, content_type: str = "", name: str = ""
    ) -> StoredFile:
        path = self._path(key)
        about = _About(content_type or content_type_of(path.name), name or path.name)
        with _explained():
            self._mark()
            if about != _usual(path):
                self._replace(self._beside(path), [msgspec.json.encode(about)])
            status = self._replace(path, chunks_of(content, limit))
        return _stored(key, status, about)

    def _replace(self, path: Path, chunks: Iterable[bytes]) -> os.stat_result:
        descriptor, temporary = self._temporary(path)
        try:
            with open(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    reached("file.half")
                file.flush()
                # What is renamed must not turn out to be empty after a loss of power.
                os.fsync(descriptor)
                # mkstemp creates a private file; results are for everyone who may read the folder.
                os.fchmod(descriptor, 0o644)
                status = os.fstat(descriptor)
            reached("file.written")
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        return status

    def _temporary(self, path: Path) -> tuple[int, str]:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name.lstrip('.')}.", suffix=".tmp")
            except FileNotFoundError:
                # The folder was empty, and removed meanwhile.
                continue

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Reading:
        path = self._path(key)
        with _explained():
            try:
                file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
            except FileNotFoundError:
                raise FileMissing(f"there is no file {key}") from None
        stored = _stored(key, os.fstat(file.fileno()), self._about(path))
        start, stop = span(stored.size, start, stop)
        return Reading(stored, start, stop, _pieces(file, start, stop), file.close)

    def stat(self, key: str) -> StoredFile | None:
        path = self._path(key)
        with _explained(), suppress(FileNotFoundError):
            return _stored(key, os.lstat(path), self._about(path))
        return None

    def delete(self, key: str) -> bool:
        path, existed = self._path(key), False
        with _explained():
            with suppress(FileNotFoundError):
                path.unlink()
                existed = True
            self._beside(path).unlink(missing_ok=True)
            self._remove_empty(path.parent)
        return existed

    def _remove_empty(self, folder: Path) -> None:
        with suppress(OSError):
            while folder != self._folder:
                folder.rmdir()
                folder = folder.parent

    def list(self, prefix: str) -> Iterator[StoredFile]:
        for path in _files_below(self._path(prefix.rstrip("/"))):
            if not path.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield _stored(str(path.relative_to(self._folder)), os.lstat(path), _usual(path))

    def _mark(self) -> None:
        """Give the folder an id, once, whichever process is first."""
        path = self._folder / MARK
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f"{MARK}.", suffix=".tmp") as file:
                file.write(uuid.uuid4().hex.encode())
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                with suppress(FileExistsError):
                    os.link(file.name, path)

    def path(self, key: str) -> Path | None:
        return self._path(key)

    def remove_abandoned(self, age: float = ABANDONED) -> int:
        count, oldest = 0, time.time() - age
        below = (path for top in (UPLOADS, JOBS, INSTALLATIONS) for path in _files_below(self._folder / top))
        for path in (*below, *self._folder.glob(f"{MARK}.*.tmp")):
            with suppress(OSError):
                if self._is_abandoned(path) and path.lstat().st_mtime < oldest:
                    path.unlink()
                    count += 1
                    self._remove_empty(path.parent)
        return count

    def _is_abandoned(self, path: Path) -> bool:
        """Return whether a file is temporary, or about one that does not exist."""
        if not path.name.startswith("."):
            return False
        return path.suffix == ".tmp" or not path.with_name(path.name[1:].removesuffix(".about")).exists()

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _beside(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.about")

    def _about(self, path: Path) -> _About:
        try:
            return msgspec.json.decode(self._beside(path).read_bytes(), type=_About)
        except (OSError, msgspec.MsgspecError):
            return _usual(path)


def _usual(path: Path) -> _About:
    return _About(content_type_of(path.name), path.name)


def _stored(key: str, status: os.stat_result, about: _About) -> StoredFile:
    etag = f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    return StoredFile(key, status.st_size, etag, status.st_mtime, about.content_type, about.name)


def _pieces(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (piece := file.read(min(PIECE, stop - start))):
        start += len(piece)
        yield piece


def _files_below(folder: Path) -> Iterator[Path]:
    # Errors of folders that disappear meanwhile are ignored.
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            yield Path(parent, name)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull("the disk of GOPHER_FILES is full") from error
        if isinstance(error, PermissionError) or error.errno == 30:  # EROFS
            raise StoreRefused("GOPHER_FILES can't be written or read: change the folder's owner", error) from error
        raise StoreUnavailable("GOPHER_FILES can't be used", error) from error
