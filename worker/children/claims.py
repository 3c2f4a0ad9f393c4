"""Claims: which of its assigned jobs a child has started. The supervisor can take back the others; none runs twice.

A child gets several short jobs at a time. If one of them turns out to be long, the jobs after it must not wait, but
they are in the child's memory, where no other process can reach them. So a child claims each job before it starts it,
in a few bytes of shared memory, under a lock that costs no system call.
"""

import mmap
from multiprocessing import get_context

from .shared import FileLock

#: Seconds that the supervisor waits while a child is claiming a job: far more than that takes. A child that was killed
#: at that moment never releases the lock; it is reaped soon.
PATIENCE = 0.001


class Claims:
    """Shared between the supervisor and one child; made before the fork, or of memory that both can reach.

    Assignments go by their numbers.
    """

    def __init__(self, memory: mmap.mmap | None = None, lock: FileLock | None = None) -> None:
        # In the fork context it has no name, and disappears with both processes.
        self._lock = lock or get_context("fork").Lock()
        self._memory = memory or mmap.mmap(-1, 3 * 8)
        #: The last one started; those above the second and up to the third are taken back.
        self._numbers = memoryview(self._memory).cast("q")

    def begin(self, number: int) -> bool:
        """Claim an assignment, on the child's side. Returns False if it was taken back."""
        numbers = self._numbers
        self._lock.acquire()
        try:
            if numbers[1] < number <= numbers[2]:
                return False
            numbers[0] = number
            return True
        finally:
            self._lock.release()

    def take_back(self, last: int) -> int | None:
        """Take back assignments up to `last` that are not started. Returns the last one that is started.

        None if the lock was not available: then nothing was taken back.
        """
        if not self._lock.acquire(timeout=PATIENCE):
            return None
        try:
            self._numbers[1], self._numbers[2] = self._numbers[0], last
            return self._numbers[0]
        finally:
            self._lock.release()

    def close(self) -> None:
        self._numbers.release()
        self._memory.close()
