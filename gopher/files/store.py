"""What a store for files can do, whatever keeps them.

A file is written completely or not at all: readers see the whole file under its key, the previous one, or none. Keys
are made by `names`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from gopher.errors import GopherError

#: Bytes read from or written to a store at once.
PIECE = 256 * 1024
#: Seconds after which a half-written file counts as abandoned.
ABANDONED = 3600.0


class StoreError(GopherError):
    """Base class of errors of a store. `public` is a message without its cause, which may contain addresses."""

    #: Whether the same call may succeed later.
    is_temporary = False

    def __init__(self, message: str, cause: object = None) -> None:
        super().__init__(message if cause is None else f"{message} ({cause})")
        self.public = message


class FileMissing(StoreError):
    """Raised when there is no such file, or no longer."""


class FileTooLarge(StoreError):
    """Raised when a file has more bytes than allowed. Nothing is stored."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the file has more than the {limit} bytes allowed")
        self.limit = limit


class StoreFull(StoreError):
    """Raised when the store has no room for a file. Nothing is stored."""

    is_temporary = True


class StoreUnavailable(StoreError):
    """Raised when the store is unreachable, or fails."""

    is_temporary = True


class StoreRefused(StoreError):
    """Raised when the store refuses us: wrong credentials, no such bucket, a folder that can't be written."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file in a store."""

    key: str
    size: int
    #: Changes with the content; without quotes.
    etag: str
    #: When it was written (Unix seconds, by the store's clock).
    modified: float
    content_type: str
    #: What people call it.
    name: str


class Reading:
    """A file that is being read: an iterator of its bytes, from `start` up to `stop`."""

    def __init__(
        self,
        file: StoredFile,
        start: int,
        stop: int,
        pieces: Iterator[bytes],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.file = file
        self.start, self.stop = start, stop
        self._pieces = pieces
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Store(ABC):
    """A store for files. Threads may share one; processes may not."""

    #: `GOPHER_STORE` without credentials, for people.
    url: str

    @abstractmethod
    def write(
        self, key: str, content: BinaryIO | Iterable[bytes], *, limit: int, content_type: str = "", name: str = ""
    ) -> StoredFile:
        """Store a file of at most `limit` bytes, and replace one with the same key.

        The content type is by default that of the key's extension, the name the key's last part. Content is a file, of
        which everything from its position on is stored, or chunks. Raises FileTooLarge, and any StoreError.
        """

    @abstractmethod
    def read(self, key: str, start: int = 0, stop: int | None = None) -> Reading:
        """Begin to read a file, or a part of it. Raises FileMissing, also while it is read."""

    @abstractmethod
    def stat(self, key: str) -> StoredFile | None:
        """Return what is known of a file, None if there is none."""

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Delete a file. Returns whether there was one, as far as the store can tell."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files whose keys begin with a prefix that ends in /, with type and name as of their keys."""

    def presigned(self, key: str, seconds: int = 300) -> str | None:
        """Return a URL that downloads a file from the store itself, None if the store has none."""
        return None

    def path(self, key: str) -> Path | None:
        """Return where a file is on this machine's disk, None if it is elsewhere."""
        return None

    def renew(self, key: str) -> None:  # noqa: B027 - nothing to do for most
        """Keep a file that is still needed, where files expire by themselves."""

    def remove_abandoned(self, age: float = ABANDONED) -> int:
        """Remove what writers have left that died more than `age` seconds ago; return how many files."""
        return 0

    def close(self) -> None:  # noqa: B027 - nothing to do for most
        """Release connections."""


def chunks_of(content: BinaryIO | Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Yield content in chunks. Raises FileTooLarge before the chunk that exceeds the limit."""
    size = 0
    for chunk in _chunks(content):
        size += len(chunk)
        if size > limit:
            raise FileTooLarge(limit)
        yield chunk


def _chunks(content: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(content, "read", None)
    if read is None:
        yield from content
        return
    while chunk := read(PIECE):
        yield chunk


def span(size: int, start: int, stop: int | None) -> tuple[int, int]:
    """Return the part of a file that is meant, within its size."""
    end = size if stop is None else min(stop, size)
    return min(max(start, 0), end), end
