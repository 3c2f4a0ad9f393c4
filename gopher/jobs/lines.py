"""Jobs in lines of text (NDJSON), as the API and `submit-many` take them: read alike, in constant memory."""

from collections.abc import Iterator
from typing import IO, NamedTuple

#: Maximum bytes of a line: a payload and its metadata fit, whatever escapes they are written with.
LONGEST_LINE = 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line, counted from 1: its text, None where that is too long, and the bytes that it took with its end."""

    number: int
    text: bytes | None
    size: int

    @property
    def is_blank(self) -> bool:
        return self.text is not None and not self.text.strip()


def read_lines(file: IO[bytes], longest: int = LONGEST_LINE) -> Iterator[Line]:
    """Yield the unmodified lines of a file, without a byte order mark. Lines that are too long have no text."""
    number = 0
    while text := file.readline(longest + 1):
        number, size, too_long = number + 1, len(text), len(text) > longest
        # Its rest, up to its end.
        while too_long and not text.endswith(b"\n") and (text := file.readline(longest)):
            size += len(text)
        if number == 1:
            text = text.removeprefix(_BOM)
        yield Line(number, None if too_long else text, size)
