"""Estimates the server's clock: its last reading plus the time elapsed on our monotonic clock."""

import time


class ServerClock:
    """The server's time without a query, independent of this machine's wall clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def set(self, server_now: int) -> None:
        """Set a reading of the server (Unix ms)."""
        self._offset = server_now / 1000 - time.monotonic()

    def now(self) -> int:
        """Return the server's current time in Unix milliseconds."""
        return self.at(time.monotonic())

    def when(self, server_time: int) -> float:
        """Return a time of the server (Unix ms) on our monotonic clock (s)."""
        return server_time / 1000 - self._offset

    def at(self, monotonic: float) -> int:
        """Return the server's Unix milliseconds at a time of our monotonic clock (s)."""
        return round((monotonic + self._offset) * 1000)
