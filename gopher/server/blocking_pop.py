"""A command that waits on the server, on its own connection, while the event loop continues."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from . import crashpoints
from .calls import Sendable
from .errors import CONNECTION_ERRORS, word_of
from .exchange import has_more, read_as, read_reply, send_calls
from .executor import Executor
from .loop_connection import REPLY_TIMEOUT, Connection
from .redis_py import exceptions

#: Seconds that a blocking command pauses if the server is out of memory.
FULL_REST = 0.25


class BlockingPop:
    """A blocking command, which returns when something happens on the server.

    Calls may follow it: the server executes them as soon as it has ended.
    """

    def __init__(self, server: Executor, key: str) -> None:
        self.key = key
        self.connection = Connection(server, key)
        self._rings_by = 0.0
        #: Until when nothing is sent because the server is out of memory.
        self._rests_until = 0.0
        #: Calls in flight, the blocking command first, and the received replies.
        self._calls: Sequence[Sendable] = ()
        self._replies: list[Any] = []
        #: Called if the connection is lost with calls in flight: they may be executed, possibly later.
        self.given_up: Callable[[], None] = _nothing

    @property
    def waiting(self) -> bool:
        return bool(self._calls)

    def is_free(self, now: float, spare: float) -> bool:
        """Return whether a command can be sent: not while one is in flight; connect if need be."""
        return not self._calls and now >= self._rests_until and self.connection.connect(now, spare)

    def wake_at(self) -> float:
        """Return when to try again (monotonic s); infinity if nothing prevents sending."""
        return self.connection.wake_at() if time.monotonic() >= self._rests_until else self._rests_until

    def wait(self, calls: Sequence[Sendable], block: float, now: float, spare: float) -> bool:
        """Send a blocking command, whose own timeout is `block` (s), and the calls to execute after it.

        Returns whether it was sent, which requires `is_free`.
        """
        if not self.is_free(now, spare):
            return False
        self._calls = calls
        # An idle server checks its timeouts ten times a second.
        self._rings_by = now + block + REPLY_TIMEOUT
        try:
            send_calls(self.connection.raw, calls)
        except CONNECTION_ERRORS as error:
            self._lose(error, now)
            return False
        return True

    def readable(self, now: float) -> list[Any] | None:
        """Return the parsed replies, or exceptions for rejected calls, once all are received.

        None before that, and if the connection was lost.
        """
        try:
            if not self._calls:
                raise ConnectionError("the server closed the connection")
            if not self._read_what_is_there():
                return None
        except CONNECTION_ERRORS as error:
            self._lose(error, now)
            return None
        calls, replies = self._calls, self._replies
        self._calls, self._replies = (), []
        if crashpoints.armed:
            crashpoints.reached_by((call.verb for call in calls), "after_reply")
        # A script that the server has not cached is not a problem: other calls load it.
        trouble = next((each for each in replies if isinstance(each, Exception) and not _is_unknown(each)), None)
        if trouble is None:
            self.connection.sound()
        elif word_of(trouble) == "OOM":
            # It rejects only writes: other calls free memory, or the jobs are fetched by polling.
            self._rests_until = now + FULL_REST
        else:
            self.connection.fail(trouble, now)
        return [read_as(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def check(self, now: float) -> None:
        """Close the connection if the command is overdue."""
        if self._calls and now > self._rings_by:
            self._lose(TimeoutError("no reply"), now)

    def close(self) -> None:
        self.connection.close()
        self._give_up()

    def _read_what_is_there(self) -> bool:
        """Read replies; return whether all are received."""
        self._replies.append(read_reply(self.connection.raw))
        while len(self._replies) < len(self._calls) and has_more(self.connection.raw):
            self._replies.append(read_reply(self.connection.raw))
        return len(self._replies) == len(self._calls)

    def _lose(self, error: Exception, now: float) -> None:
        self.connection.fail(error, now)
        self._give_up()

    def _give_up(self) -> None:
        were_under_way, self._calls, self._replies = bool(self._calls), (), []
        if were_under_way:
            self.given_up()


def _is_unknown(reply: Exception) -> bool:
    return isinstance(reply, exceptions.NoScriptError)


def _nothing() -> None:
    pass
