"""Which of the jobs in its hands a child has begun: the supervisor can take back the others, and none runs twice.

A child is given several short jobs in one packet. When one of them turns out to be a long one, those behind it must
not wait, and they lie in the child's memory, where nobody else can reach. So a child claims each job before it
begins it, in a few bytes of shared memory under a lock that costs no system call.
"""

import mmap
from multiprocessing import get_context

from .shared import FileLock

#: Seconds that the supervisor waits for a child that claims a job just now: far more than that takes. One that was
#: killed in that moment keeps the lock for ever; it is reaped soon.
PATIENCE = 0.001


class Claims:
    """Shared between the supervisor and one child; made before the fork, or of memory that both can reach.

    Assignments go by their numbers.
    """

    def __init__(self, memory: mmap.mmap | None = None, lock: FileLock | None = None) -> None:
        # Made for the fork context it has no name, and nothing is left of it when both processes are gone.
        self._lock = lock or get_context("fork").Lock()
        self._memory = memory or mmap.mmap(-1, 3 * 8)
        #: The last one begun; taken back are those above the second and up to the third.
        self._numbers = memoryview(self._memory).cast("q")

    def begin(self, number: int) -> bool:
        """Claim an assignment, on the child's side. Returns False when it was taken back."""
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
        """Take back what was given up to `last` and is not begun. Returns the last one that has begun.

        None when the child could not be asked just now: then nothing was taken.
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
