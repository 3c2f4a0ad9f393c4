"""Calls for an event loop: sent at once, answered when the reply is there, repeated when it got lost.

Worker and scheduler live in one thread that must never wait for the server: a child whose time is up
has to be killed on time also when the server hangs. So nothing here blocks, but for connecting, which
is given no more time than the loop can spare.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis import exceptions

from gopher.telemetry.logs import get_logger

from . import crashpoints
from .calls import Sendable
from .errors import CONNECTION_ERRORS, ERRORS, is_of_server, translated, word_of
from .executor import Executor, has_more, pauses, read_reply, send_calls, send_whole

log = get_logger("pipeline")

#: Seconds that a started reply may pause, and a connection attempt take, at most.
STALL = 0.4
#: Seconds without a reply after which a connection is given up.
REPLY_TIMEOUT = 5.0
#: Seconds within which everybody has found the server again once it is back.
ALL_BACK = REPLY_TIMEOUT + 1.0
#: Seconds between two tries to connect, at most: fewer where another server may take over at any moment.
LONGEST_PAUSE, FAILOVER_PAUSE = 1.0, 0.3
#: Seconds after which a call that was not sent yet has waited for a server that is away.
WAITED = 1.0
#: Seconds that a blocking command rests when the server is out of memory.
FULL_REST = 0.25


#: Takes the reply as the call reads it, or the exception that the server answered with.
Callback = Callable[[Any], None]


class Connection:
    """One connection that comes back by itself, with growing pauses."""

    def __init__(self, server: Executor, key: str) -> None:
        self._server = server
        self._key = key
        self._connection: Any = None
        self._pauses = self._new_pauses()
        #: Of its socket, while connected.
        self.descriptor = -1
        self._next_try = 0.0
        #: The last trouble, None while all is well.
        self.trouble: str | None = None
        #: Told the descriptor of each connection made, and before it is closed.
        self.opened: Callable[[int], None] = _nobody
        self.closed: Callable[[int], None] = _nobody
        #: Told when the server answers again.
        self.recovered: Callable[[], None] = _nothing

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def answers(self) -> bool:
        """Whether it is connected, and nothing says that the server does not answer."""
        return self._connection is not None and self.trouble is None

    @property
    def raw(self) -> Any:
        assert self._connection is not None, "ask `connected` first"
        return self._connection

    def connect(self, now: float, spare: float) -> bool:
        """Try to connect if it is time to; take at most `spare` seconds. Returns whether it is connected."""
        if self._connection is not None:
            return True
        if now < self._next_try:
            return False
        limit = min(max(spare, 0.05), STALL)
        try:
            connection = self._server.pools.connection(self._key, socket_connect_timeout=limit, socket_timeout=limit)
            connection.connect()
        except ERRORS as error:
            # The pause begins now: the try itself may have lasted longer, and the loop has more to do than that.
            self.fail(error, time.monotonic())
            return False
        connection.socket_timeout = STALL
        connection._sock.settimeout(STALL)
        self._connection = connection
        # redis-py shows its socket in no other way. Kept, since it closes the socket itself upon errors.
        self.descriptor = int(connection._sock.fileno())
        self.opened(self.descriptor)
        return True

    def sound(self) -> None:
        """Say that the server has answered: the next trouble begins with a short pause again."""
        if self.trouble is not None:
            log.info("the server answers again", key=self._key)
            self.trouble = None
            self._pauses = self._new_pauses()
            self.recovered()

    def fail(self, error: Exception, now: float) -> None:
        """Give the connection up; the next try comes after a pause."""
        self.close()
        self._server.pools.doubt()
        if self.trouble is None:
            log.warning("the connection to the server was lost", key=self._key, error=str(translated(error)))
        self.trouble = str(translated(error))
        self._next_try = now + next(self._pauses)

    def _new_pauses(self) -> Iterator[float]:
        return pauses(cap=FAILOVER_PAUSE if self._server.pools.fails_over else LONGEST_PAUSE)

    def hurry(self) -> None:
        """Let the next try come at once: another connection is answered again."""
        self._next_try = 0.0

    def wake_at(self) -> float:
        """Return when to try again (monotonic s); infinity while connected."""
        return float("inf") if self._connection is not None else self._next_try

    def close(self) -> None:
        if self._connection is not None:
            self.closed(self.descriptor)
            self._connection.disconnect()
            self._connection = None


def _nobody(_descriptor: int) -> None:
    pass


class _ScriptsMissing(Exception):
    """Raised when the server does not know a script (any more), and another batch is under way."""


class Pipeline:
    """Sends batches of calls, up to two at once: the server has work while we read what it has answered.

    What is added meanwhile makes the next. A batch whose reply is lost is sent again as it was, before anything
    else, and alone. Calls that a server refuses as a whole go with the next batch, after a pause.
    """

    def __init__(self, server: Executor, key: str) -> None:
        #: The first key that it was made for.
        self.key = key
        self.connection = Connection(server, key)
        self._lease = server.settings.worker_lease
        self._waiting: deque[tuple[Sendable, Callback]] = deque()
        #: Those that are not answered yet, the oldest first, and how many of them are sent.
        self._batches: deque[list[tuple[Sendable, Callback]]] = deque()
        self._sent = 0
        #: When the oldest was sent, or the one before it answered.
        self._sent_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent or answered."""
        return not self._waiting and not self._batches

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return bool(self._batches)

    @property
    def takes_another(self) -> bool:
        """Whether a batch is under way, and one more may follow it at once."""
        return len(self._batches) == self._sent == 1

    def add(self, call: Sendable, callback: Callback) -> None:
        self._waiting.append((call, callback))

    def flush(self, now: float, spare: float) -> None:
        """Send what waits, unless two batches are under way or the server can't be reached."""
        if self.takes_another:
            if self._waiting:
                self._send(self._next_batch(), now)
        elif not self._sent and not self.idle and self.connection.connect(now, spare):
            self._send(self._batches[0] if self._batches else self._next_batch(), now)

    def readable(self, now: float) -> None:
        """Take the replies of the batches under way, or notice that the connection has ended."""
        if not self._sent:
            self._lose(ConnectionError("the server closed the connection"), now)
            return
        self._take_replies(now)
        # Those of the second may have come along, and the selector would not tell.
        if self._sent and self._has_more(now):
            self._take_replies(now)

    def check(self, now: float) -> None:
        """Give the connection up when a reply is overdue."""
        if self._sent and now - self._sent_at > self._reply_timeout:
            self._lose(TimeoutError("no reply"), now)

    def wake_at(self) -> float:
        """Return when this wants to be flushed or checked again (monotonic s)."""
        if self._sent:
            return self._sent_at + self._reply_timeout
        return float("inf") if self.idle else self.connection.wake_at()

    @property
    def _reply_timeout(self) -> float:
        # A heartbeat that was lost on its way is sent again while the lease holds.
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
        """Take the replies of the oldest batch."""
        batch = self._batches[0]
        try:
            replies = self._read_all(batch)
        except CONNECTION_ERRORS as error:
            self._lose(error, now)
            return
        except _ScriptsMissing:
            # Nothing is wrong with the connection; only what is still on its way there is of no use.
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
            # All replies are here, so nothing of these was done. What comes goes with them: a heartbeat may pass.
            refused = [entry for entry, reply in zip(batch, replies, strict=True) if is_of_server(reply)]
            self._waiting.extendleft(reversed(refused))
            self._lose(trouble, now)
        for (call, callback), reply in zip(batch, replies, strict=True):
            if trouble is None or not is_of_server(reply):
                callback(_read(call, reply))

    def _read_all(self, batch: list[tuple[Sendable, Callback]]) -> list[Any]:
        connection = self.connection.raw
        replies = [read_reply(connection) for _ in batch]
        missing = [at for at, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            if self._sent > 1:
                # What is read next are the replies of the other batch: begin again, one after the other.
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


def _read(call: Sendable, reply: Any) -> Any:
    """Return a reply as its call reads it, an error reply as it is. One that can't be read counts as an error reply."""
    if isinstance(reply, Exception):
        return reply
    try:
        return call.read(reply)
    except Exception as error:  # noqa: BLE001 - whatever a proxy or a corrupt record has made of it: the loop goes on
        return exceptions.ResponseError(f"a reply to {call.verb} that can't be read: {error!r}")


class BlockingPop:
    """A blocking command that waits on the server until something happens there, while the loop goes on.

    Calls may stand behind it: the server does them as soon as it has ended.
    """

    def __init__(self, server: Executor, key: str) -> None:
        self.connection = Connection(server, key)
        self._rings_by = 0.0
        #: Until when nothing is sent: the server is out of memory.
        self._rests_until = 0.0
        #: What is under way, the blocking command first, and the replies that have come.
        self._calls: Sequence[Sendable] = ()
        self._replies: list[Any] = []
        #: Told when the connection ends while calls are under way: they may be done, or be done some time later.
        self.given_up: Callable[[], None] = _nothing

    @property
    def waiting(self) -> bool:
        return bool(self._calls)

    def is_free(self, now: float, spare: float) -> bool:
        """Return whether something can be sent: not while a command is under way; connect if need be."""
        return not self._calls and now >= self._rests_until and self.connection.connect(now, spare)

    def wake_at(self) -> float:
        """Return when to try again (monotonic s); infinity while nothing stands in the way."""
        return self.connection.wake_at() if time.monotonic() >= self._rests_until else self._rests_until

    def wait(self, calls: Sequence[Sendable], block: float, now: float, spare: float) -> bool:
        """Send a blocking command, which itself holds `block` as its timeout (s), and what is to be done after it.

        Returns whether it was sent: not unless it `is_free`.
        """
        if not self.is_free(now, spare):
            return False
        self._calls = calls
        # A server that is idle looks at its timeouts ten times a second.
        self._rings_by = now + block + REPLY_TIMEOUT
        try:
            send_calls(self.connection.raw, calls)
        except CONNECTION_ERRORS as error:
            self._lose(error, now)
            return False
        return True

    def readable(self, now: float) -> list[Any] | None:
        """Return the replies as the calls read them, an exception for each that was refused, once all are there.

        None before that, and when the connection was lost.
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
        # A script that the server does not know yet is no trouble: others bring it there.
        trouble = next((each for each in replies if isinstance(each, Exception) and not _is_unknown(each)), None)
        if trouble is None:
            self.connection.sound()
        elif word_of(trouble) == "OOM":
            # It refuses what may write, and answers all else: others make room, or what waits comes by the poll.
            self._rests_until = now + FULL_REST
        else:
            self.connection.fail(trouble, now)
        return [_read(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def check(self, now: float) -> None:
        """Give the connection up when the command should have ended long ago."""
        if self._calls and now > self._rings_by:
            self._lose(TimeoutError("no reply"), now)

    def close(self) -> None:
        self.connection.close()
        self._give_up()

    def _read_what_is_there(self) -> bool:
        """Read replies; return whether none is missing any more."""
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
