"""A connection of an event loop, which connects within a time limit, and reconnects when it is lost."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from gopher.base.pauses import pauses
from gopher.compat import socket_of
from gopher.telemetry.loggers import get_logger

from .errors import ERRORS, translated
from .executor import FAILOVER_PAUSE, LONGEST_PAUSE, Executor

log = get_logger("pipeline")

#: Timeouts in seconds of reading a started reply, and of connecting.
STALL = 0.4
#: Seconds without a reply after which a connection is closed.
REPLY_TIMEOUT = 5.0
#: Seconds within which all connections are reestablished once the server is back.
ALL_BACK = REPLY_TIMEOUT + 1.0


class Connection:
    """A connection that reconnects automatically, with increasing pauses."""

    def __init__(self, server: Executor, key: str) -> None:
        self._server = server
        self._key = key
        self._connection: Any = None
        self._pauses = self._new_pauses()
        #: Descriptor of its socket, while connected.
        self.descriptor = -1
        self._next_try = 0.0
        #: The last error, None while it works.
        self.trouble: str | None = None
        #: Called with the descriptor after connecting, and before closing.
        self.opened: Callable[[int], None] = _nobody
        self.closed: Callable[[int], None] = _nobody
        #: Returns another one to the same server whose owner does not use it now.
        self.reusable: Callable[[], Connection | None] = _none_reusable
        #: Called when the server responds again.
        self.recovered: Callable[[], None] = _nothing

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def answers(self) -> bool:
        """Whether the server was responding the last time that it was used."""
        return self.trouble is None

    @property
    def reachable(self) -> bool:
        """Whether it is connected, or may be at any time: it is closed, but has not failed."""
        return self._connection is not None or self.trouble is None

    @property
    def raw(self) -> Any:
        assert self._connection is not None, "check `connected` first"
        return self._connection

    def connect(self, now: float, spare: float) -> bool:
        """Try to connect if it is time to, within `spare` seconds. Returns whether it is connected."""
        if self._connection is None and (other := self.reusable()) is not None:
            self._take_over(other)
        if self._connection is not None:
            return True
        if now < self._next_try:
            return False
        limit = min(max(spare, 0.05), STALL)
        try:
            connection = self._server.pools.connection(self._key, socket_connect_timeout=limit, socket_timeout=limit)
            connection.connect()
        except ERRORS as error:
            # The pause starts now: the attempt itself may have taken longer, and the loop has other work.
            self.fail(error, time.monotonic())
            return False
        connection.socket_timeout = STALL
        sock = socket_of(connection)
        sock.settimeout(STALL)
        self._connection = connection
        # Kept, since redis-py closes the socket itself upon errors.
        self.descriptor = sock.fileno()
        self.opened(self.descriptor)
        return True

    def _take_over(self, other: "Connection") -> None:
        """Take the connection of another one, which has no calls in flight."""
        other.closed(other.descriptor)
        self._connection, other._connection = other._connection, None
        self.descriptor = other.descriptor
        self.opened(self.descriptor)

    def sound(self) -> None:
        """Record a response of the server, which resets the pauses."""
        if self.trouble is not None:
            log.info("the server is responding again", key=self._key)
            self.trouble = None
            self._pauses = self._new_pauses()
            self.recovered()

    def fail(self, error: Exception, now: float) -> None:
        """Close the connection; the next attempt is after a pause."""
        self.close()
        self._server.pools.doubt()
        if self.trouble is None:
            log.warning("the connection to the server was lost", key=self._key, error=str(translated(error)))
        self.trouble = str(translated(error))
        self._next_try = now + next(self._pauses)

    def _new_pauses(self) -> Iterator[float]:
        return pauses(cap=FAILOVER_PAUSE if self._server.pools.fails_over else LONGEST_PAUSE)

    def hurry(self) -> None:
        """Make the next attempt immediately: another connection works again."""
        self._next_try = 0.0

    def wake_at(self) -> float:
        """Return the time of the next attempt (monotonic s); infinity while connected."""
        return float("inf") if self._connection is not None else self._next_try

    def close(self) -> None:
        if self._connection is not None:
            self.closed(self.descriptor)
            self._connection.disconnect()
            self._connection = None


def _nobody(_descriptor: int) -> None:
    pass


def _none_reusable() -> None:
    return None


def _nothing() -> None:
    pass
