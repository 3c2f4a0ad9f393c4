"""Lines of a file in batches: any number of them, in constant memory."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from gopher.jobs.submission import MAX_METADATA, MAX_PAYLOAD

#: Lines, and bytes of lines, of one batch. An API takes 1 MiB in one request unless SERVER_MAX_BODY says otherwise.
BATCH_LINES, BATCH_BYTES = 1000, 900 * 1024
#: Bytes of the longest line that can be a job: the largest payload and metadata, and room for the rest.
LONGEST = MAX_PAYLOAD + MAX_METADATA + 64 * 1024

_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line that is not empty; `text` is None when it is longer than a job can be."""

    number: int
    text: bytes | None


class Batch(NamedTuple):
    """Lines that are sent together. `last` is the number of its last line, `end` the bytes read so far."""

    lines: list[Line]
    last: int
    end: int


def batches(file: BinaryIO) -> Iterator[Batch]:
    """Yield a file's lines in batches, which are the same each time that the file is read."""
    lines: list[Line] = []
    size = last = end = 0
    for line, read in _lines(file):
        length = len(line.text or b"")
        if len(lines) == BATCH_LINES or (lines and size + length > BATCH_BYTES):
            yield Batch(lines, last, end)
            lines, size = [], 0
        last, end = line.number, end + read
        if line.text != b"":
            lines.append(line)
            size += length
    if last:
        yield Batch(lines, last, end)


def _lines(file: BinaryIO) -> Iterator[tuple[Line, int]]:
    """Yield each line, stripped, with the bytes that it took in the file."""
    number = 0
    while text := file.readline(LONGEST):
        number, read, whole = number + 1, len(text), text
        while len(text) == LONGEST and not text.endswith(b"\n"):
            text = file.readline(LONGEST)
            read += len(text)
        if number == 1:
            whole = whole.removeprefix(_BOM)
        yield Line(number, whole.strip() if read <= LONGEST else None), read
