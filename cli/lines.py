"""Reads a file's lines in batches, in constant memory."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from gopher.jobs.lines import Line, read_lines

#: Maximum lines and bytes of a batch. The API accepts 1 MiB per request unless SERVER_MAX_BODY is set.
BATCH_LINES, BATCH_BYTES = 1000, 900 * 1024


class Batch(NamedTuple):
    """Lines that are sent together. `last` is the number of the last line, `end` the bytes read so far."""

    lines: list[Line]
    last: int
    end: int


def batches(file: BinaryIO) -> Iterator[Batch]:
    """Yield a file's lines in batches, which are the same each time the file is read."""
    lines: list[Line] = []
    size = last = end = 0
    for line in read_lines(file):
        text = None if line.text is None else line.text.strip()
        length = len(text or b"")
        if len(lines) == BATCH_LINES or (lines and size + length > BATCH_BYTES):
            yield Batch(lines, last, end)
            lines, size = [], 0
        last, end = line.number, end + line.size
        if text != b"":
            lines.append(line._replace(text=text))
            size += length
    if last:
        yield Batch(lines, last, end)
