"""Bodies of lines (NDJSON), read a bounded piece at a time."""

import io
from collections.abc import Iterator
from typing import IO, NamedTuple

from werkzeug.exceptions import ClientDisconnected

from gopher.errors import InvalidJob

#: What a client may call them.
TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MAX_LINES = 1_000_000
#: Bytes of a line: a payload and its metadata fit, whatever escapes they are written with.
MAX_LINE = 1024 * 1024
#: A piece ends after so many lines or bytes. A repeat of the same body is cut at the same places.
PIECE_LINES, PIECE_BYTES = 1000, 1024 * 1024


class Line(NamedTuple):
    """A line that is not blank, counted from 1; `text` is None where it is too long."""

    number: int
    text: bytes | None


def pieces(stream: IO[bytes]) -> Iterator[list[Line]]:
    """Yield the lines of a body in pieces. Raises InvalidJob when there are too many."""
    piece: list[Line] = []
    size = 0
    for line in _lines(stream):
        piece.append(line)
        size += len(line.text or b"")
        if len(piece) == PIECE_LINES or size >= PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _lines(stream: IO[bytes]) -> Iterator[Line]:
    # Without a buffer of its own such a stream is read byte by byte.
    reader = io.BufferedReader(stream, 64 * 1024) if isinstance(stream, io.RawIOBase) else stream
    number = 0
    try:
        while text := reader.readline(MAX_LINE + 1):
            number += 1
            too_long = len(text) > MAX_LINE
            while too_long and not text.endswith(b"\n") and text:
                text = reader.readline(MAX_LINE)
            if number > MAX_LINES:
                raise InvalidJob(f"holds more than {MAX_LINES} lines: send the rest with another request", "/lines")
            if too_long or text.strip():
                yield Line(number, None if too_long else text)
    except OSError as error:
        raise ClientDisconnected from error
