"""Captures handlers' output: from the child's file descriptors 1 and 2 through a pipe to the job's log.

The child writes a mark with the assignment's number before each job that it got while busy, so that their lines never
mix, whether printed by Python, C code or another program. A job for an idle child needs no mark, which would wake the
supervisor needlessly. The supervisor always reads, so that no child blocks on its output, and keeps the last lines.
"""

import os
import re
import time
from collections import deque

import msgspec

from gopher.base.printable import printable

from .channel import DEEPEST

#: Maximum lines and bytes of a job's log, and maximum bytes of a line.
MAX_LINES = 200
MAX_BYTES = 64 * 1024
MAX_LINE = 4 * 1024
#: Bytes read from one child before the next one.
_AT_ONCE = 256 * 1024
#: The read buffer: allocating a new one each time costs more than reading.
_SPACE = memoryview(bytearray(64 * 1024))

#: A mark that is further ahead than this is not one, but was printed by a job.
_AHEAD = DEEPEST + 72

_MARK = re.compile(rb"\x00(\d{1,18})\x00\n")
#: The output of most jobs: only marks.
_MARKS_ALONE = re.compile(rb"(?:\x00\d{1,18}\x00\n)*\x00(\d{1,18})\x00\n")


def mark(descriptor: int, number: int) -> None:
    """Write the mark of assignment `number`, on the child's side: the output after it belongs to it."""
    try:
        os.write(descriptor, b"\x00%d\x00\n" % number)
    except OSError:
        # A handler has closed it: further jobs run without log.
        pass


class _Lines:
    """The last lines of one job."""

    def __init__(self) -> None:
        self.lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)
        self.size = 0
        self.dropped = 0

    def add(self, when: int, text: str) -> None:
        if len(self.lines) == MAX_LINES:
            self._drop()
        self.lines.append((when, text))
        self.size += len(text)
        while self.size > MAX_BYTES:
            self._drop()

    def _drop(self) -> None:
        self.size -= len(self.lines.popleft()[1])
        self.dropped += 1


class CapturedOutput:
    """The supervisor's side: reads one child's pipe and keeps each job's last lines."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._partial = b""
        #: The assignment with the latest output, and the last one that has ended.
        self._number = self._over = 0
        self._jobs: dict[int, _Lines] = {}
        self._changed: set[int] = set()

    def fileno(self) -> int:
        return self._reader

    def close_writer(self) -> None:
        """Close the child's side here, after the fork."""
        os.close(self.writer)

    def begin(self, number: int) -> None:
        """Record that assignment `number` is sent to an idle child: further output without mark belongs to it."""
        # Output since the last job's end belongs to no job.
        self.read(0)
        self._number, self._partial = number, b""
        self._jobs.pop(number, None)

    def read(self, running: int) -> bool:
        """Read available output; without mark it belongs to `running`. Returns False at the end."""
        taken = 0
        while taken < _AT_ONCE:
            try:
                size = os.readv(self._reader, (_SPACE,))
            except BlockingIOError:
                return True
            if not size:
                return False
            taken += size
            self._take(bytes(_SPACE[:size]), running)
            if size < len(_SPACE):
                # The pipe was empty; the selector reports later output.
                return True
        return True

    def changed(self, number: int) -> bool:
        """Return whether a job has new lines since its log was last encoded."""
        return number in self._changed

    def encode(self, number: int) -> bytes:
        """Return a job's log as JSON, `[[ms, line], ...]`; b"" without one."""
        lines = self._jobs.get(number)
        if lines is None:
            return b""
        self._changed.discard(number)
        rows: list[tuple[int, str]] = list(lines.lines)
        if lines.dropped:
            rows.insert(0, (rows[0][0] if rows else 0, f"[{lines.dropped} earlier lines omitted]"))
        return msgspec.json.encode(rows)

    def lines(self, number: int) -> list[str]:
        """Return a job's lines."""
        lines = self._jobs.get(number)
        return [text for _, text in lines.lines] if lines else []

    def close_job(self, number: int) -> bytes:
        """Return a job's log like `encode`, and drop its further output, e.g. of a remaining thread."""
        if self._partial:
            self.finish_line(number)
        log = b""
        if number in self._jobs:
            log = self.encode(number)
            del self._jobs[number]
        if number > self._over:
            self._over = number
        return log

    def finish_line(self, running: int) -> None:
        """Complete an unfinished last line, since the job has ended."""
        if self._partial and self._number <= running:
            self._add(self._partial, running)
            self._partial = b""

    def close(self) -> None:
        os.close(self._reader)

    def _take(self, data: bytes, running: int) -> None:
        marks = None if self._partial else _MARKS_ALONE.fullmatch(data)
        if marks and self._is_of_ours(int(marks[1]), running):
            self._number = int(marks[1])
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE:
            self._add(self._partial, running)
            self._partial = b""
        begin = 0
        for at, line in enumerate(lines):
            if b"\x00" in line and (mark := _MARK.search(line + b"\n")) and self._is_of_ours(int(mark[1]), running):
                self._add_last(lines[begin:at], running)
                if mark.start():
                    self._add(line[: mark.start()], running)
                self._number, begin = int(mark[1]), at + 1
        self._add_last(lines[begin:], running)

    def _add_last(self, lines: list[bytes], running: int) -> None:
        """Add lines of a job. Only the end of a flood is kept; the rest is not decoded."""
        left_out = len(lines) - MAX_LINES
        if left_out > 0 and (kept := self._lines_of(running)) is not None:
            kept.dropped += left_out
        for line in lines[-MAX_LINES:]:
            self._add(line, running)

    def _is_of_ours(self, number: int, running: int) -> bool:
        return number <= max(running, self._over) + _AHEAD

    def _lines_of(self, running: int) -> _Lines | None:
        # A mark of an ended job, or none yet: the output belongs to the running one.
        number = max(self._number, running)
        if number <= self._over:
            return None
        self._changed.add(number)
        return self._jobs.setdefault(number, _Lines())

    def _add(self, line: bytes, running: int) -> None:
        if (lines := self._lines_of(running)) is not None:
            cut = line[:MAX_LINE] + (b" [line cut]" if len(line) > MAX_LINE else b"")
            lines.add(time.time_ns() // 1_000_000, printable(cut.decode("utf-8", "replace"), keep="\t"))
