"""Signals of the supervisor, as bytes in a pipe that its loop reads. A handler does nothing but queue."""

import os
import signal
from types import FrameType

HANDLED = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
)


class Signals:
    """Queues the signals that came since the last look."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def install(self) -> None:
        """Begin to queue. As PID 1 a process has no default actions, so every one is installed."""
        for number in HANDLED:
            signal.signal(number, _queued)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reader

    def descriptors(self) -> tuple[int, int]:
        return self._reader, self._writer

    def received(self) -> list[int]:
        """Return the signals that came, each once, in the order of HANDLED: the dead before the orders."""
        try:
            numbers = set(os.read(self._reader, 4096))
        except BlockingIOError:
            return []
        return [number for number in HANDLED if number in numbers]


def _queued(_signal: int, _frame: FrameType | None) -> None:
    """Nothing to do here: the wakeup descriptor has it."""
