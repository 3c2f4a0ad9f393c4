"""Message framing (RFC 9112, sections 6 and 7): incremental decoders of request bodies.

Each takes the bytes of its body from the front of a buffer and leaves what follows there.
"""

from collections.abc import Callable
from typing import Protocol

from gunicorn.http.body import CHUNK_EXT_RE  # type: ignore[import-untyped]
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkExtension, InvalidChunkSize  # type: ignore[import-untyped]

#: Maximum bytes of a chunk-size line, and of all trailers together.
LONGEST_LINE = 1024
LONGEST_TRAILERS = 8192
#: Maximum bytes of a chunk: anything larger is not a valid size.
_LARGEST = 2**63
#: Maximum bytes of chunk extensions and other framing, beyond what sensible chunks need.
_MOST_EXCESS = 16 * 1024


class Decoder(Protocol):
    """Base of `Sized` and `Chunked`."""

    #: Whether the whole body has been read.
    ended: bool
    #: Bytes still expected: of the body, or of the current chunk.
    missing: int

    def decode(self, buffer: bytearray) -> bytes:
        """Take the received part of the body out of the buffer. Raises ParseException."""


class Sized:
    """A body with a Content-Length."""

    def __init__(self, length: int) -> None:
        self.missing = length
        self.ended = length == 0

    def decode(self, buffer: bytearray) -> bytes:
        piece = bytes(buffer[: self.missing])
        del buffer[: len(piece)]
        self.missing -= len(piece)
        self.ended = self.missing == 0
        return piece


class Chunked:
    """A chunked body. gunicorn's own decoder blocks its thread until more data arrives.

    `check_trailers` gets the lines of the trailer section, if there is one.
    """

    def __init__(self, check_trailers: Callable[[bytes], object]) -> None:
        self.ended = False
        self._check_trailers = check_trailers
        self.missing = 0
        #: Whether the current chunk is incomplete.
        self._is_open = False
        self._excess = 0

    def decode(self, buffer: bytearray) -> bytes:
        data: list[bytes | bytearray] = []
        at = 0
        while not self.ended:
            if self._is_open:
                piece = buffer[at : at + self.missing]
                data.append(piece)
                at += len(piece)
                self.missing -= len(piece)
                end = buffer[at : at + 2]
                if self.missing or (len(end) < 2 and b"\r\n".startswith(end)):
                    break
                if end != b"\r\n":
                    raise ChunkMissingTerminator(bytes(end))
                at += 2
                self._is_open = False
            line_end = buffer.find(b"\r\n", at, at + LONGEST_LINE)
            if line_end < 0:
                if len(buffer) - at >= LONGEST_LINE:
                    raise InvalidChunkSize(b"a line of more than %d bytes" % LONGEST_LINE)
                break
            self.missing = _size(bytes(buffer[at:line_end]))
            if self.missing:
                self._count(line_end + 2 - at)
                self._is_open = True
                at = line_end + 2
                continue
            end_of_all = self._end_of_trailers(buffer, line_end + 2)
            if end_of_all < 0:
                break
            at = end_of_all
            self.ended = True
        del buffer[:at]
        return b"".join(data)

    def _count(self, line: int) -> None:
        """Reject a body that is mostly framing, as Go's net/http does: it would cost a lot for little data."""
        self._excess = max(self._excess + line - 16 - 2 * self.missing, 0)
        if self._excess > _MOST_EXCESS:
            raise InvalidChunkExtension("chunked body has too much framing for its data")

    def _end_of_trailers(self, buffer: bytearray, start: int) -> int:
        """Return the end of the body, after the last chunk's line; -1 if it has not been received yet."""
        if buffer.startswith(b"\r\n", start):
            return start + 2
        end = buffer.find(b"\r\n\r\n", start, start + LONGEST_TRAILERS)
        if end >= 0:
            self._check_trailers(bytes(buffer[start:end]))
            return end + 4
        if len(buffer) - start >= LONGEST_TRAILERS:
            raise InvalidChunkSize(b"trailers of more than %d bytes" % LONGEST_TRAILERS)
        return -1


def _size(line: bytes) -> int:
    digits, semicolon, extension = line.partition(b";")
    if semicolon:
        digits = digits.rstrip(b" \t")
    # int() accepts more: signs, underscores, spaces.
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise InvalidChunkSize(digits)
    if semicolon and not CHUNK_EXT_RE.fullmatch(b";" + extension):
        raise InvalidChunkExtension("invalid chunk extension")
    size = int(digits, 16)
    if size >= _LARGEST:
        raise InvalidChunkSize(digits[:40])
    return size
