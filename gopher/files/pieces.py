"""`redis:`: files in the server itself, in pieces, so that a small installation needs nothing else.

A file is written as pieces under a token, and becomes visible by an entry in its folder's hash. All files together are
limited (`GOPHER_STORE_MAX`), so that they can't fill the server that the queues need. Pieces expire by themselves,
unless they are renewed (see `sweeping`). What a dead writer leaves takes room until it is removed an hour later.
"""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from gopher.config.settings import Settings
from gopher.errors import QueueFull, ServerError, StorageFull
from gopher.server.crashpoints import reached
from gopher.server.errors import explained

from .names import check_key, content_type_of
from .store import (
    ABANDONED,
    PIECE,
    FileMissing,
    Reading,
    Store,
    StoredFile,
    StoreError,
    StoreFull,
    StoreUnavailable,
    chunks_of,
    span,
)

if TYPE_CHECKING:
    from gopher.queue.store import Server

#: Seconds after which files expire that are not renewed: for want of a scheduler, or of use.
EXPIRY = 7 * 86400
#: Seconds for which the pieces of a replaced file are kept for its readers.
_READERS = 60
#: The field with the sum of the others, which are tokens.
_TOTAL = b"total"


class _Entry(msgspec.Struct, array_like=True):
    """A file in its folder's hash."""

    token: str
    size: int
    modified: float
    content_type: str
    name: str


_decode = msgspec.msgpack.Decoder(_Entry).decode


class PiecesStore(Store):
    """Files in the server."""

    url = "redis:"

    def __init__(self, settings: Settings, server: "Server | None" = None) -> None:
        from gopher.queue.store import Server

        self._own = server is None
        self._server = server or Server(settings, connections=1)
        self._client: Any = self._server.client
        self._keys = self._server.keys
        self._most = settings.store_max

    def write(
        self, key: str, content: BinaryIO | Iterable[bytes], *, limit: int, content_type: str = "", name: str = ""
    ) -> StoredFile:
        folder, last = self._split(key)
        token, is_asked = f"{time.time_ns() // 1_000_000:x}-{secrets.token_hex(8)}", False
        try:
            with _explained():
                size = self._write_pieces(token, chunks_of(content, limit))
                entry = _Entry(token, size, time.time(), content_type or content_type_of(last), name or last)
                reached("file.written")
                is_asked = True
                replaced = self._show(folder, last, entry)
        except BaseException as error:
            with suppress(StoreError), _explained():
                # If only the reply was lost, it is visible; if not, it is removed with what dead writers leave.
                if not is_asked or (isinstance(error, StoreFull) and not self._shows(key, token)):
                    self._drop(token, limit, 0)
            raise
        if replaced:
            with suppress(StoreError), _explained():
                self._drop(replaced.token, replaced.size, _READERS)
        return _stored(key, entry)

    def _write_pieces(self, token: str, chunks: Iterable[bytes]) -> int:
        most, size = self._room(), 0
        for number, piece in enumerate(_pieces_of(chunks)):
            pipe = self._client.pipeline(transaction=False)
            pipe.hincrby(self._keys.file_bytes, _TOTAL, len(piece))
            pipe.hincrby(self._keys.file_bytes, token, len(piece))
            total, _ = pipe.execute()
            if total > most:
                raise StoreFull("the store for files is full: raise GOPHER_STORE_MAX, or use another GOPHER_STORE")
            self._client.set(self._piece(token, number), piece, ex=EXPIRY)
            reached("file.half")
            size += len(piece)
        return size

    def _room(self) -> int:
        """Return how many bytes all files may have: at most half of what the server may use."""
        if self._server.pools.clustered:
            return self._most
        memory = int(self._client.info("memory").get("maxmemory", 0))
        return min(self._most, memory // 2) if memory else self._most

    def _show(self, folder: str, name: str, entry: _Entry) -> _Entry | None:
        """Make a file visible, and return the one that it replaces."""
        files = self._keys.files(folder)
        replaced = self._client.hget(files, name)
        pipe = self._client.pipeline(transaction=False)
        # First that there is such a folder, or a crash would leave an unlisted file; again, since one without files may
        # be removed meanwhile.
        pipe.sadd(self._keys.file_folders, folder)
        pipe.hset(files, name, msgspec.msgpack.encode(entry))
        pipe.expire(files, EXPIRY)
        pipe.sadd(self._keys.file_folders, folder)
        pipe.execute()
        return _decode(replaced) if replaced else None

    def _shows(self, key: str, token: str) -> bool:
        entry = self._entry(key)
        return entry is not None and entry.token == token

    def _drop(self, token: str, size: int, after: int) -> None:
        """Remove pieces, of at most `size` bytes."""
        pipe = self._client.pipeline(transaction=False)
        for number in range(-(-size // PIECE)):
            pipe.expire(self._piece(token, number), after)
        pipe.hget(self._keys.file_bytes, token)
        pipe.hdel(self._keys.file_bytes, token)
        *_, counted, was_there = pipe.execute()
        if was_there:
            self._client.hincrby(self._keys.file_bytes, _TOTAL, -int(counted))

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Reading:
        entry = self._entry(key)
        if entry is None:
            raise FileMissing(f"there is no file {key}")
        start, stop = span(entry.size, start, stop)
        return Reading(_stored(key, entry), start, stop, self._pieces(key, entry, start, stop))

    def _pieces(self, key: str, entry: _Entry, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            number, offset = divmod(start, PIECE)
            with _explained():
                piece = self._client.get(self._piece(entry.token, number))
            if piece is None:
                raise FileMissing(f"the file {key} was deleted or replaced while it was read")
            part = piece[offset : offset + stop - start]
            start += len(part)
            yield part

    def stat(self, key: str) -> StoredFile | None:
        entry = self._entry(key)
        return None if entry is None else _stored(key, entry)

    def _entry(self, key: str) -> _Entry | None:
        folder, name = self._split(key)
        with _explained():
            found = self._client.hget(self._keys.files(folder), name)
        return _decode(found) if found else None

    def delete(self, key: str) -> bool:
        folder, name = self._split(key)
        entry = self._entry(key)
        with _explained():
            if entry is None or not self._client.hdel(self._keys.files(folder), name):
                return False
            self._drop(entry.token, entry.size, 0)
            return True

    def list(self, prefix: str) -> Iterator[StoredFile]:
        check_key(prefix.rstrip("/"))
        for folder in self._folders(prefix):
            with _explained():
                entries = self._client.hgetall(self._keys.files(folder))
            for name, found in sorted(entries.items()):
                entry, text = _decode(found), name.decode()
                yield _stored(f"{folder}/{text}", entry, content_type_of(text), text)

    def _folders(self, prefix: str) -> Sequence[str]:
        if prefix.count("/") > 1:
            # That of one job: all keys have two folders.
            return [prefix.rstrip("/")]
        with _explained():
            found = self._client.smembers(self._keys.file_folders)
        return sorted(name for name in (each.decode() for each in found) if name.startswith(prefix))

    def renew(self, key: str) -> None:
        entry, (folder, _) = self._entry(key), self._split(key)
        if entry is None:
            return
        with _explained():
            pipe = self._client.pipeline(transaction=False)
            pipe.expire(self._keys.files(folder), EXPIRY)
            for number in range(-(-entry.size // PIECE)):
                pipe.expire(self._piece(entry.token, number), EXPIRY)
            pipe.execute()

    def remove_abandoned(self, age: float = ABANDONED) -> int:
        with _explained():
            counted = {name: int(value) for name, value in self._client.hgetall(self._keys.file_bytes).items()}
            total = counted.pop(_TOTAL, 0)
            # Sums drift if a process dies between two commands.
            if total != sum(counted.values()):
                self._client.hincrby(self._keys.file_bytes, _TOTAL, sum(counted.values()) - total)
            used = self._used_tokens()
            oldest = (time.time() - age) * 1000
            left = {name.decode(): size for name, size in counted.items() if name.decode() not in used}
            dead = {token: size for token, size in left.items() if int(token.partition("-")[0], 16) < oldest}
            for token, size in dead.items():
                # One more: it may have died before it had counted a piece.
                self._drop(token, size + PIECE, 0)
        return len(dead)

    def _used_tokens(self) -> set[str]:
        """Return the tokens of all visible files, and forget folders that have none."""
        used = set()
        for folder in self._folders(""):
            entries = self._client.hvals(self._keys.files(folder))
            used |= {_decode(each).token for each in entries}
            if not entries:
                self._client.srem(self._keys.file_folders, folder)
        return used

    def _piece(self, token: str, number: int) -> str:
        return self._keys.file(f"{{{token}}}", str(number))

    def _split(self, key: str) -> tuple[str, str]:
        folder, _, name = check_key(key).rpartition("/")
        return folder, name

    def close(self) -> None:
        if self._own:
            self._server.close()


def _pieces_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks as pieces, all of the same size but the last."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= PIECE:
            yield bytes(buffer[:PIECE])
            del buffer[:PIECE]
    if buffer:
        yield bytes(buffer)


def _stored(key: str, entry: _Entry, content_type: str = "", name: str = "") -> StoredFile:
    return StoredFile(
        key, entry.size, entry.token, entry.modified, content_type or entry.content_type, name or entry.name
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        with explained():
            yield
    except (QueueFull, StorageFull) as error:
        raise StoreFull("the server that stores the files is full") from error
    except ServerError as error:
        raise StoreUnavailable("the server that stores the files is unavailable", error) from error
