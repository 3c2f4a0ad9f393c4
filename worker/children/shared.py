"""Memory that the supervisor shares with one child, and a lock on it, also for a child that is not forked from it."""

import fcntl
import mmap
import os
import tempfile
import time


class SharedMemory:
    """Blocks of memory in a file that has no name: who inherits its descriptor has them too."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _new_file() if descriptor is None else descriptor

    def block(self, number: int) -> mmap.mmap:
        return mmap.mmap(self.descriptor, mmap.PAGESIZE, offset=number * mmap.PAGESIZE)

    def lock(self) -> "FileLock":
        return FileLock(self.descriptor)

    def close(self) -> None:
        os.close(self.descriptor)


_BLOCKS = 2


def _new_file() -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("gopher-child")
    else:
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(descriptor, _BLOCKS * mmap.PAGESIZE)
    return descriptor


class FileLock:
    """A lock between processes; one that dies gives it back. Not for threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def acquire(self, timeout: float | None = None) -> bool:
        if timeout is None:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            return True
        until = time.monotonic() + timeout
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                if time.monotonic() >= until:
                    return False

    def release(self) -> None:
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
