"""A child's standard streams: what a job closes, replaces or redirects is restored for the next one.

A copy of the log's descriptor is used for our own lines, which arrive whatever a handler does to its standard streams.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Now, before `watch` puts another in its place.
from os import dup2
from typing import TextIO

_ENCODING, _ERRORS = "utf-8", "backslashreplace"


class Streams:
    """Standard input, which is empty, standard output and error, which are the job's log, and the log itself."""

    def __init__(self, output: int) -> None:
        """Replace descriptors 0, 1 and 2 of this process; `output` is the log."""
        #: Descriptor of the log, in addition to 1 and 2.
        self.output = output
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        #: Stream for our own lines.
        self.log = _writer(output)
        self._restore_output()
        self._open()

    def restore(self, *, thoroughly: bool) -> None:
        """Restore what was changed, and flush everything that was printed to the log."""
        if thoroughly:
            dup2(self._nothing, 0)
        self._restore_output()
        try:
            whole = self._are_whole()
            self._out.flush()
        except (AttributeError, ValueError):
            # Deleted; closed or detached.
            whole = False
        if not whole:
            self._open()

    @contextmanager
    def lent_to(self, file: TextIO) -> Iterator[None]:
        """Have what is printed go elsewhere: what belongs to no job goes to the process's own log."""
        self._out.flush()
        for descriptor in (1, 2):
            dup2(file.fileno(), descriptor)
        try:
            yield
        finally:
            self.restore(thoroughly=True)

    def say(self, line: str) -> None:
        """Write a line into the log, if there is still a way to it."""
        try:
            self.log.write(line + "\n")
        except (OSError, ValueError):
            with suppress(OSError):
                os.write(2, f"{line}\n".encode(_ENCODING, _ERRORS))

    def _restore_output(self) -> None:
        # Each time, since a file that was opened on them closes them unnoticed, and checking would take longer.
        dup2(self.output, 1)
        dup2(self.output, 2)

    def _are_whole(self) -> bool:
        out = self._out
        return bool(
            sys.stdout is out
            and sys.stderr is out
            and sys.stdin is self._in
            and out.errors == _ERRORS
            and out.encoding == _ENCODING
            and out.line_buffering
            and not self._in.closed
        )

    def _open(self) -> None:
        dup2(self._nothing, 0)
        self._in = open(0, encoding=_ENCODING, closefd=False)  # noqa: SIM115 - as long as the process
        self._out = _writer(1)
        sys.stdin = sys.__stdin__ = self._in  # type: ignore[misc]
        sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = self._out  # type: ignore[misc]


def _writer(descriptor: int) -> io.TextIOWrapper:
    return open(descriptor, "w", buffering=1, encoding=_ENCODING, errors=_ERRORS, closefd=False)
