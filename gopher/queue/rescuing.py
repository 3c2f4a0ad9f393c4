"""When a process called `rescue` last: what tells a server's clock that was set from time that passed."""

import time
from collections.abc import Callable

from gopher.server.calls import Call

from .moves import Queue
from .replies import Rescued

#: A clock that continues while the machine sleeps, if there is one: a server elsewhere does not sleep with it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Return seconds by a clock that is never set."""
    return time.clock_gettime(_CLOCK)


class Rescues:
    """The calls of `rescue` by one process for one queue."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        #: The server's time (ms) in the last reply; None before the first one, and after the server's clock was set.
        self._last_now: int | None = None
        #: When the call in flight, and the one with the last reply, were sent, and when that reply was read (steady s).
        self._sent_at = self._answered_sent_at = self.heard_at = float("-inf")

    def call(self, limit: Callable[[], int]) -> Call:
        """Return a call; `limit` is asked whenever it is sent."""

        def limit_now() -> int:
            self._sent_at = steady()
            return limit()

        return self._queue.rescue(
            self._last_now,
            lambda: steady() - self._answered_sent_at,
            limit_now,
            since_reply=lambda: steady() - self.heard_at,
        )

    def took(self, reply: Rescued) -> None:
        """Note that the reply is here."""
        self._answered_sent_at, self.heard_at = self._sent_at, steady()
        self._last_now = None if reply.step is not None else reply.now
