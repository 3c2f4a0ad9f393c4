"""The server's clock, as seen from here: its last reading, carried on by our own steady clock."""

import time


class ServerClock:
    """Tells the server's time without asking it; a wrong clock on this machine changes nothing."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def set(self, server_now: int) -> None:
        """Take over a reading of the server (Unix ms)."""
        self._offset = server_now / 1000 - time.monotonic()

    def now(self) -> int:
        """Return the server's now in Unix milliseconds."""
        return self.at(time.monotonic())

    def at(self, monotonic: float) -> int:
        """Return the server's Unix milliseconds at a moment of our steady clock (s)."""
        return round((monotonic + self._offset) * 1000)
