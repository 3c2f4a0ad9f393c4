"""Signals of the supervisor, queued as bytes in a pipe that its loop reads."""

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
    """Queues signals until they are read."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def install(self) -> None:
        """Start to queue. PID 1 has no default actions, so all handlers are installed."""
        for number in HANDLED:
            signal.signal(number, _queued)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reader

    def descriptors(self) -> tuple[int, int]:
        return self._reader, self._writer

    def received(self) -> list[int]:
        """Return the received signals, each once, in the order of HANDLED: SIGCHLD before commands."""
        try:
            numbers = set(os.read(self._reader, 4096))
        except BlockingIOError:
            return []
        return [number for number in HANDLED if number in numbers]


def _queued(_signal: int, _frame: FrameType | None) -> None:
    """Does nothing: the wakeup descriptor reports the signal."""
