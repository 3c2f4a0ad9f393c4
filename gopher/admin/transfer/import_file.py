"""Reads the lines of an export from a file or a pipe, in constant memory."""

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from gopher.errors import GopherError
from gopher.jobs.lines import read_lines

from .lines import End, ExportLine, InvalidLine, decode, decode_header

#: Maximum bytes of a line: a payload, a result and a log, with whatever escapes they are written.
LONGEST = 128 * 1024 * 1024
#: Bytes at the end of a file in which its last line is.
_END = 64 * 1024


class IncompleteExport(GopherError):
    """An export without its end, or without some of its lines."""


class BadLine(GopherError):
    """A line that can't be imported."""

    def __init__(self, number: int, problem: object) -> None:
        super().__init__(f"line {number:,} {problem}")


class ReadLine(NamedTuple):
    """A line with its number, its text (b"" if that is too long), and the bytes of the file up to its end."""

    number: int
    text: bytes
    end: int
    is_first: bool

    def content(self) -> ExportLine:
        """Decode it. Raises InvalidLine."""
        if not self.text:
            raise InvalidLine(f"is longer than {LONGEST:,} bytes, the maximum")
        return decode_header(self.text) if self.is_first else decode(self.text)


def read_export(file: BinaryIO) -> Iterator[ReadLine]:
    """Yield the lines of an export; the first is a `Header`. Raises BadLine if the file is something else."""
    end, is_first = 0, True
    for line in read_lines(file, LONGEST):
        end += line.size
        if line.is_blank:
            continue
        found = ReadLine(line.number, line.text or b"", end, is_first)
        if is_first:
            try:
                found.content()
            except InvalidLine as problem:
                raise BadLine(line.number, problem) from None
        is_first = False
        yield found
    if is_first:
        raise BadLine(1, "is missing: the file is empty. Repeat the export")


def check_end(file: BinaryIO) -> None:
    """Check, before anything is imported, that a file has its last line. Pipes can't be checked in advance.

    Raises IncompleteExport.
    """
    if not is_regular(file):
        return
    begin, size = file.tell(), os.fstat(file.fileno()).st_size
    file.seek(max(size - _END, begin))
    last = file.read().rstrip().rpartition(b"\n")[2]
    file.seek(begin)
    try:
        complete = isinstance(decode(last), End)
    except InvalidLine:
        complete = False
    if not complete and size:
        raise incomplete("it does not end with the last line of an export")


def incomplete(why: str) -> IncompleteExport:
    return IncompleteExport(
        f"the export is incomplete: {why}. Repeat the export, or import what is there with --partial"
    )


def is_regular(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:
        return False
