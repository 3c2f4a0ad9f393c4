"""NDJSON bodies, read in bounded chunks."""

import io
from collections.abc import Iterator
from typing import IO

from werkzeug.exceptions import ClientDisconnected

from gopher.errors import InvalidJob
from gopher.jobs.lines import Line, read_lines

#: Accepted content types.
TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MAX_LINES = 1_000_000
#: Maximum lines and bytes of a chunk. A repeated request with the same body is split at the same places.
PIECE_LINES, PIECE_BYTES = 1000, 1024 * 1024


def pieces(stream: IO[bytes]) -> Iterator[list[Line]]:
    """Yield the lines of a body in chunks. Raises InvalidJob if there are too many."""
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
    # An unbuffered stream would be read byte by byte.
    reader = io.BufferedReader(stream, 64 * 1024) if isinstance(stream, io.RawIOBase) else stream
    try:
        for line in read_lines(reader):
            if line.number > MAX_LINES:
                raise InvalidJob(f"contains more than {MAX_LINES} lines: send the rest with another request", "/lines")
            if not line.is_blank:
                yield line
    except OSError as error:
        raise ClientDisconnected from error
