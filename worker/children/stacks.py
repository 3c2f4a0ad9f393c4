"""The stacks of a child, which it writes itself when it gets a signal, even while it is in C code.

`faulthandler` writes them within the signal's handler in C, which needs no lock of Python. They go to a file without a
name, since a pipe that is not read would stop the child.
"""

import fcntl
import os
import re
import signal
import tempfile
import time
from contextlib import suppress

# Now, before `watch` puts others in their place.
from faulthandler import register, unregister
from signal import pthread_sigmask

from .crash_reports import handler_stacks

#: The last of those that nothing else uses.
SIGNAL: signal.Signals | None = getattr(signal, "SIGRTMAX", None) or getattr(signal, "SIGINFO", None)
#: Seconds after which a stack that has not grown any more is complete, and until the child is given up.
_STILL, _PATIENCE = 0.02, 3.0
#: The mask of the signals for which a process has handlers.
_CAUGHT = re.compile(rb"^SigCgt:\s+([0-9a-f]+)", re.MULTILINE)
#: Bytes that are read.
_MOST = 256 * 1024


def write_stacks_to(descriptor: int) -> None:
    """Let this process write its stacks to a file whenever it gets the signal."""
    if SIGNAL is None:
        return
    # Blocked meanwhile, since it would end this process. Unregistered first: if a job has set what the signal does, it
    # counts as registered, but without effect.
    before = pthread_sigmask(signal.SIG_BLOCK, (SIGNAL,))
    try:
        unregister(SIGNAL)
        register(SIGNAL, file=descriptor, all_threads=True, chain=False)
    finally:
        pthread_sigmask(signal.SIG_SETMASK, before)


class StackFile:
    """Where one child writes its stacks; the supervisor and the child both have it open."""

    def __init__(self) -> None:
        self.descriptor = _new_file()
        #: When it was asked (monotonic s), 0.0 if nothing is awaited; how long the answer was, and since when.
        self.asked_at = 0.0
        self._length, self._since = 0, 0.0

    def ask(self, pid: int) -> bool:
        """Have a child write its stacks; return False if it can't."""
        if SIGNAL is None or not (self._is_open_in(pid) and _is_caught_in(pid, SIGNAL)):
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


def _is_caught_in(pid: int, number: signal.Signals) -> bool:
    """Return whether a child still has a handler of the signal, which would end it otherwise."""
    with suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        # Bytes: the name of a process may be no text.
        found = _CAUGHT.search(file.read())
        return found is None or bool(int(found[1], 16) >> (number - 1) & 1)
    # Without /proc, it is not known.
    return not os.path.exists("/proc/self/status")


def _new_file() -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("gopher-stacks")
    else:
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    # Both have one position in it: what is written after it was emptied must begin at its start.
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return descriptor
