"""A connection on an asyncio loop, shared by coroutines: calls are sent as they come, and replies arrive in order."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from ssl import SSLSocket, SSLWantReadError, SSLWantWriteError
from typing import Any, NamedTuple

from hiredis import Reader, pack_command

from gopher.compat import error_parser, socket_of
from gopher.server.calls import Sendable
from gopher.server.errors import CONNECTION_ERRORS
from gopher.server.exchange import as_error_reply, missing_scripts, outcomes, with_lost
from gopher.server.redis_py import exceptions

#: Bytes per read.
_READ = 65536
#: Batches that are answered before the loop does something else.
_AT_ONCE = 50
#: What the reader returns while there is no complete reply.
_NOTHING = object()
#: Errors by which a socket says that it has to be waited for.
_NOT_NOW = (BlockingIOError, InterruptedError, SSLWantReadError, SSLWantWriteError)


class Replies(NamedTuple):
    """The replies to commands: fewer than there were commands if the connection was lost, by this error."""

    replies: list[Any]
    error: Exception | None


class _Batch:
    """Commands that were sent together."""

    __slots__ = ("count", "future", "given_up", "replies", "sent_at", "timeout")

    def __init__(self, count: int, future: "asyncio.Future[Replies]", sent_at: float, timeout: float) -> None:
        self.count, self.future, self.sent_at, self.timeout = count, future, sent_at, timeout
        self.replies: list[Any] = []
        #: Whether its reply was overdue. One that was cancelled is still due: the connection may be dead.
        self.given_up = False


class Channel:
    """A connected connection. `closed` is called when it is lost, closed or no longer used for new calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any, closed: "Callable[[Channel], None]") -> None:
        self._loop, self._connection, self._closed = loop, connection, closed
        self._socket = socket_of(connection)
        self._socket.setblocking(False)
        self._is_encrypted = isinstance(self._socket, SSLSocket)
        # Kept, since redis-py closes the socket itself.
        self._descriptor = self._socket.fileno()
        self._reader = Reader(
            protocolError=exceptions.InvalidResponse, replyError=error_parser(connection), notEnoughData=_NOTHING
        )
        self._batches: deque[_Batch] = deque()
        self._unsent: list[bytes] = []
        self._is_flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._retired = False
        self.is_open = True
        #: When the last bytes arrived, by the loop's clock.
        self.heard_at = loop.time()
        loop.add_reader(self._descriptor, self._readable)

    @property
    def load(self) -> int:
        """The number of batches in flight."""
        return len(self._batches)

    @property
    def address(self) -> tuple[Any, Any]:
        """Host and port of the server, None for what a unix socket does not have."""
        return getattr(self._connection, "host", None), getattr(self._connection, "port", None)

    def send(self, commands: Sequence[tuple[Any, ...]], timeout: float) -> "asyncio.Future[Replies]":
        """Send commands. The future never fails: a lost connection is part of its result."""
        future: asyncio.Future[Replies] = self._loop.create_future()
        if not self.is_open:
            future.set_result(Replies([], exceptions.ConnectionError("the connection is closed")))
            return future
        now = self._loop.time()
        self._batches.append(_Batch(len(commands), future, now, timeout))
        self._unsent += map(pack_command, commands)
        if not self._is_flushing:
            # Those that other coroutines send at the same time go along.
            self._is_flushing = True
            self._loop.call_soon(self._flush)
        self._check_at(now + timeout)
        return future

    async def exchange(self, calls: Sequence[Sendable], timeout: float) -> list[Any]:
        """Send calls once, and return the parsed reply or the error of each, as `gopher.server.exchange` does."""
        replies, error = await self.send([call.command() for call in calls], timeout)
        if error is None and (missing := missing_scripts(replies, calls)):
            again, error = await self.send([calls[index].whole_command() for index in missing], timeout)
            for index, reply in zip(missing, again, strict=False):
                replies[index] = reply
        return outcomes(calls, replies if error is None else with_lost(replies, len(calls), error))

    def retire(self) -> None:
        """Close it once all replies have arrived."""
        self._retired = True
        if not self._batches:
            self.close()

    def close(self) -> None:
        self._fail(exceptions.ConnectionError("the client was closed"))

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        try:
            sent = self._socket.send(data) if data else 0
        except _NOT_NOW:
            sent = 0
        except CONNECTION_ERRORS as error:
            self._fail(error)
            return
        if sent < len(data):
            self._unsent.insert(0, data[sent:])
            self._loop.add_writer(self._descriptor, self._writable)
        else:
            self._is_flushing = False

    def _writable(self) -> None:
        self._loop.remove_writer(self._descriptor)
        self._flush()

    def _readable(self) -> None:
        try:
            while self.is_open:
                data = self._socket.recv(_READ)
                if not data:
                    raise exceptions.ConnectionError("the server closed the connection")
                self.heard_at = self._loop.time()
                self._reader.feed(data)
                self._take()
                if not self._is_encrypted:
                    # What is left is reported again; only bytes that TLS has decrypted already are not.
                    return
        except _NOT_NOW:
            pass
        except CONNECTION_ERRORS as error:
            explained = getattr(self._connection, "explained", None)
            self._fail(explained(error) if explained else error)

    def _take(self) -> None:
        """Hand out the replies that have arrived."""
        answered = 0
        while answered < _AT_ONCE:
            if (reply := self._next()) is _NOTHING:
                break
            if not self._batches:
                raise exceptions.InvalidResponse("a reply to nothing")
            batch = self._batches[0]
            batch.replies.append(reply)
            if len(batch.replies) == batch.count:
                self._batches.popleft()
                _settle(batch, None)
                answered += 1
        else:
            self._loop.call_soon(self._take_more)
        if self._retired and not self._batches:
            self.close()

    def _take_more(self) -> None:
        try:
            if self.is_open:
                self._take()
        except CONNECTION_ERRORS as error:
            self._fail(error)

    def _next(self) -> Any:
        try:
            reply = self._reader.gets()
        except ValueError as error:
            return as_error_reply(error)
        if isinstance(reply, Exception):
            reply = as_error_reply(reply)
            if isinstance(reply, exceptions.ConnectionError):
                raise reply
        return reply

    def _check_at(self, when: float) -> None:
        if self._timer is not None and self._timer.when() <= when:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._check)

    def _check(self) -> None:
        """Give overdue replies up, and the connection once nothing waits for its replies any more.

        Calls that have a longer timeout wait on: that of one must not be the error of another.
        """
        self._timer = None
        now, due = self._loop.time(), [each for each in self._batches if not each.given_up]
        overdue = [each for each in due if self._due_at(each) <= now]
        if not overdue:
            if due:
                self._check_at(min(map(self._due_at, due)))
            return
        error = exceptions.TimeoutError("no reply in time")
        if all(each.future.done() for each in due if each not in overdue):
            self._fail(error)
            return
        for each in overdue:
            # It keeps its place: its reply may still come before those of the others.
            each.given_up = True
            _settle(each, error)
        self._retired = True
        self._closed(self)
        self._check()

    def _due_at(self, batch: _Batch) -> float:
        return max(batch.sent_at, self.heard_at) + batch.timeout

    def _fail(self, error: Exception) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()
        self._connection.disconnect()
        self._unsent.clear()
        while self._batches:
            _settle(self._batches.popleft(), error)
        self._closed(self)


def _settle(batch: _Batch, error: Exception | None) -> None:
    # Not one of a coroutine that was cancelled meanwhile.
    if not batch.future.done():
        batch.future.set_result(Replies(batch.replies, error))
