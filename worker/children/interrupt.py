"""Interrupts a specific job: a few bytes of shared memory, and a signal.

The signal alone has no target, and may arrive when the child is already running its next job. So the supervisor first
writes the assignment's number, and the child raises only if it is still running that one.
"""

import mmap
import signal
import struct

#: The signal that makes a child check.
SIGNAL = signal.SIGUSR1
TIMEOUT, CANCEL = 1, 2

_LAYOUT = struct.Struct("=qq")
#: Behind it: for how many seconds which assignment was frozen.
_FROZEN = struct.Struct("=qd")


class Interrupt:
    """Shared between the supervisor and one child; made before the fork, or of memory that both can reach."""

    def __init__(self, memory: mmap.mmap | None = None) -> None:
        self._memory = memory or mmap.mmap(-1, _LAYOUT.size + _FROZEN.size)

    def set(self, number: int, reason: int) -> None:
        _LAYOUT.pack_into(self._memory, 0, number, reason)

    def reason_for(self, number: int) -> int:
        """Return why assignment `number` must stop: TIMEOUT, CANCEL, or 0 if it is not the target."""
        meant, reason = _LAYOUT.unpack_from(self._memory, 0)
        return int(reason) if meant == number else 0

    def set_frozen(self, number: int, seconds: float) -> None:
        _FROZEN.pack_into(self._memory, _LAYOUT.size, number, seconds)

    def frozen_seconds(self, number: int) -> float:
        """Return for how long assignment `number` was frozen."""
        meant, seconds = _FROZEN.unpack_from(self._memory, _LAYOUT.size)
        return float(seconds) if meant == number else 0.0

    def close(self) -> None:
        self._memory.close()
