"""Calls for an event loop: sent immediately, handled when the reply arrives, and sent again if it is lost.

Worker and scheduler have one thread that must never wait for the server: a child that exceeds its timeout has to be
killed even while the server hangs. So nothing here blocks, except connecting, which has a time limit.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from . import crashpoints
from .calls import Sendable
from .errors import CONNECTION_ERRORS, is_of_server
from .exchange import has_more, read_as, read_reply, send_calls, send_whole
from .executor import Executor
from .loop_connection import REPLY_TIMEOUT, Connection
from .redis_py import exceptions

#: Seconds after which an unsent call counts as delayed by an unavailable server.
WAITED = 1.0

#: Receives the parsed reply, or the exception.
Callback = Callable[[Any], None]


def _ignore(_reply: object) -> None:
    pass


class _ScriptsMissing(Exception):
    """Raised if the server has not cached a script while another batch is in flight."""


class Pipeline:
    """Sends batches of calls, up to two at a time, so that the server is busy while we read its replies.

    Calls added meanwhile form the next batch. A batch whose reply is lost is sent again unchanged, before anything
    else, and alone. Calls that are rejected because the server is unavailable are sent with the next batch after a
    pause.
    """

    def __init__(self, server: Executor, key: str) -> None:
        #: The first key that it was created for.
        self.key = key
        self.connection = Connection(server, key)
        self._lease = server.settings.worker_lease
        self._waiting: deque[tuple[Sendable, Callback]] = deque()
        #: Batches without reply, oldest first, and how many of them are sent.
        self._batches: deque[list[tuple[Sendable, Callback]]] = deque()
        self._sent = 0
        #: When the oldest was sent, or the previous one got its reply.
        self._sent_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether no calls are queued or in flight."""
        return not self._waiting and not self._batches

    @property
    def busy(self) -> bool:
        """Whether a batch is in flight."""
        return bool(self._batches)

    @property
    def takes_another(self) -> bool:
        """Whether a batch is in flight, and another one may follow immediately."""
        return len(self._batches) == self._sent == 1

    def add(self, call: Sendable, callback: Callback = _ignore) -> None:
        """Have a call sent with the next batch; `callback` takes the reply."""
        self._waiting.append((call, callback))

    def flush(self, now: float, spare: float) -> None:
        """Send queued calls, unless two batches are in flight or the server is unavailable."""
        if self.takes_another:
            if self._waiting:
                self._send(self._next_batch(), now)
        elif not self._sent and not self.idle and self.connection.connect(now, spare):
            self._send(self._batches[0] if self._batches else self._next_batch(), now)

    def readable(self, now: float) -> None:
        """Read the replies of the batches in flight, or detect that the connection was closed."""
        if not self._sent:
            self._lose(ConnectionError("the server closed the connection"), now)
            return
        self._take_replies(now)
        # Replies of the second may have been read, too, and the selector would not report them.
        if self._sent and self._has_more(now):
            self._take_replies(now)

    def check(self, now: float) -> None:
        """Close the connection if a reply is overdue."""
        if self._sent and now - self._sent_at > self._reply_timeout:
            self._lose(TimeoutError("no reply"), now)

    def wake_at(self) -> float:
        """Return when to flush or check again (monotonic s)."""
        if self._sent:
            return self._sent_at + self._reply_timeout
        return float("inf") if self.idle else self.connection.wake_at()

    @property
    def _reply_timeout(self) -> float:
        # So that a lost heartbeat is sent again before the lease expires.
        return min(REPLY_TIMEOUT, self._lease / 3)

    def _next_batch(self) -> list[tuple[Sendable, Callback]]:
        batch = list(self._waiting)
        self._waiting.clear()
        self._batches.append(batch)
        return batch

    def _send(self, batch: list[tuple[Sendable, Callback]], now: float) -> None:
        try:
            send_calls(self.connection.raw, [call for call, _ in batch])
        except CONNECTION_ERRORS as error:
            self._lose(error, now)
            return
        if not self._sent:
            self._sent_at = now
        self._sent += 1

    def _take_replies(self, now: float) -> None:
        """Handle the replies of the oldest batch."""
        batch = self._batches[0]
        try:
            replies = self._read_all(batch)
        except CONNECTION_ERRORS as error:
            self._lose(error, now)
            return
        except _ScriptsMissing:
            # The connection works, only the replies in flight are useless.
            self._sent = 0
            self.connection.close()
            return
        trouble = next((reply for reply in replies if is_of_server(reply)), None)
        if crashpoints.armed:
            crashpoints.reached_by((call.verb for call, _ in batch), "after_reply")
        self._batches.popleft()
        self._sent, self._sent_at = self._sent - 1, now
        if trouble is None:
            self.connection.sound()
        else:
            # All replies are here, so none of these was executed. They are sent with new calls: a heartbeat may pass.
            refused = [entry for entry, reply in zip(batch, replies, strict=True) if is_of_server(reply)]
            self._waiting.extendleft(reversed(refused))
            self._lose(trouble, now)
        for (call, callback), reply in zip(batch, replies, strict=True):
            if trouble is None or not is_of_server(reply):
                callback(read_as(call, reply))

    def _read_all(self, batch: list[tuple[Sendable, Callback]]) -> list[Any]:
        connection = self.connection.raw
        replies = [read_reply(connection) for _ in batch]
        missing = [at for at, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            if self._sent > 1:
                # The next replies are those of the other batch: start over, one after the other.
                raise _ScriptsMissing
            again: Sequence[Any] = [batch[at][0] for at in missing]
            for at, reply in zip(missing, send_whole(connection, again), strict=True):
                replies[at] = reply
        return replies

    def _has_more(self, now: float) -> bool:
        try:
            return has_more(self.connection.raw)
        except CONNECTION_ERRORS as error:
            self._lose(error, now)
            return False

    def _lose(self, error: Exception, now: float) -> None:
        self._sent = 0
        self.connection.fail(error, now)
