"""The stacks of a child, which it writes itself when it gets a signal, even while it is in C code.

`faulthandler` writes them within the signal's handler in C, which needs no lock of Python. They go to a file without a
name, since a pipe that is not read would stop the child.
"""

import faulthandler
import fcntl
import os
import signal
import tempfile
import time
from contextlib import suppress

from .crash_reports import handler_stacks

#: The last of those that nothing else uses.
SIGNAL: signal.Signals | None = getattr(signal, "SIGRTMAX", None) or getattr(signal, "SIGINFO", None)
#: Seconds after which a stack that has not grown any more is complete, and until the child is given up.
_STILL, _PATIENCE = 0.02, 3.0
#: Bytes that are read.
_MOST = 256 * 1024


def write_stacks_to(descriptor: int) -> None:
    """Let this process write its stacks to a file whenever it gets the signal."""
    if SIGNAL is not None:
        faulthandler.register(SIGNAL, file=descriptor, all_threads=True, chain=False)


class StackFile:
    """Where one child writes its stacks; the supervisor and the child both have it open."""

    def __init__(self) -> None:
        self.descriptor = _new_file()
        #: When it was asked (monotonic s), 0.0 if nothing is awaited; how long the answer was, and since when.
        self.asked_at = 0.0
        self._length, self._since = 0, 0.0

    def ask(self, pid: int) -> bool:
        """Have a child write its stacks; return False if it can't."""
        if SIGNAL is None or not self._is_open_in(pid):
            return False
        os.ftruncate(self.descriptor, 0)
        self.asked_at = self._since = time.monotonic()
        self._length = 0
        os.kill(pid, SIGNAL)
        return True

    def is_complete(self, now: float) -> bool:
        """Return whether the answer is there, or none is to be expected any more."""
        length = os.fstat(self.descriptor).st_size
        if length != self._length:
            self._length, self._since = length, now
        return now >= (self._since + _STILL if length else self.asked_at + _PATIENCE)

    def read(self) -> str:
        """Return the stacks that the child has written, without the frames that call the handler."""
        self.asked_at = 0.0
        text = os.pread(self.descriptor, _MOST, 0).decode("utf-8", "backslashreplace")
        return handler_stacks(text.splitlines())

    def close(self) -> None:
        os.close(self.descriptor)

    def _is_open_in(self, pid: int) -> bool:
        """Return whether the child still has it: a handler may have closed it, and opened a file of its own there."""
        with suppress(OSError):
            ours, its = os.fstat(self.descriptor), os.stat(f"/proc/{pid}/fd/{self.descriptor}")
            return (ours.st_dev, ours.st_ino) == (its.st_dev, its.st_ino)
        # Without /proc, it is not known.
        return not os.path.exists("/proc/self/fd")


def _new_file() -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("gopher-stacks")
    else:
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    # Both have one position in it: what is written after it was emptied must begin at its start.
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor
