"""The channels of a client to its servers: a few per server or node.

Connecting is left to threads, and with it resolving names, TLS handshakes, and asking sentinels and nodes where the
server is: the same code as that of other clients. At most two threads of an executor do so, and only then.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gopher.server import own_threads
from gopher.server.calls import Command
from gopher.server.connections import CONNECT_TIMEOUT, Pools
from gopher.server.exchange import read_reply
from gopher.server.idle_connections import CHECK, IDLE
from gopher.server.redis_py import exceptions

from .bridge import in_thread_context
from .channel import Channel

#: Threads that connect.
_THREADS = 2
#: Batches in flight from which on another connection is opened.
_BUSY = 100


class _Place:
    """The channels to one server."""

    def __init__(self, size: int) -> None:
        self.open: list[Channel] = []
        #: Those that are closed once the calls in flight have their replies.
        self.retired: set[Channel] = set()
        #: Those that a coroutine has for itself.
        self.lent = asyncio.Semaphore(size)
        self.connecting: asyncio.Task[Channel] | None = None
        self.checking: asyncio.Task[None] | None = None

    def closed(self, channel: Channel) -> None:
        """Note that a channel is closed, or used for no new calls."""
        if channel in self.open:
            self.open.remove(channel)
        (self.retired.add if channel.is_open else self.retired.discard)(channel)


class Channels:
    """Opens channels, at most `size` to a server. For one loop, that of the first call."""

    def __init__(self, pools: Pools, size: int) -> None:
        self._pools, self._size = pools, size
        self._places: dict[object, _Place] = {}
        self._lent: dict[Channel, _Place] = {}
        self._locating: asyncio.Task[object] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def take(self, key: str, since: float | None = None) -> Channel:
        """Return a channel to the server of `key`; others may use it, too.

        With `since`, one that has worked since then: another one did not respond. Raises redis-py's errors.
        """
        place = await self._place_of(key)
        if since is not None:
            for channel in [each for each in place.open if each.heard_at < since]:
                channel.retire()
                place.closed(channel)
        await self._check(place)
        if not place.open:
            return await self._connect(place, key)
        channel = min(place.open, key=lambda each: each.load)
        if channel.load >= _BUSY and len(place.open) < self._size and place.connecting is None:
            # It is there for the next ones.
            self._connect_later(place, key)
        return channel

    async def lend(self, key: str) -> Channel:
        """Return a channel for one coroutine only, until `give_back`."""
        place = await self._place_of(key)
        await place.lent.acquire()
        channel = place.open.pop() if place.open else None
        try:
            if channel is None or not await _answers(channel):
                if channel is not None:
                    channel.close()
                channel = await self._new(place, key)
        except BaseException:
            # Nothing else refers to a channel that was removed from the open ones.
            if channel is not None:
                channel.close()
            place.lent.release()
            raise
        self._lent[channel] = place
        return channel

    def give_back(self, channel: Channel) -> None:
        place = self._lent.pop(channel)
        place.lent.release()
        if channel.is_open and not channel.load and not self._is_closed:
            place.open.append(channel)
        else:
            # Interrupted: what it has sent is still to be answered.
            channel.close()

    def retire(self) -> None:
        """Open new channels for new calls: another server is responsible now."""
        for place in self._places.values():
            for channel in list(place.open):
                place.closed(channel)
                channel.retire()

    async def close(self) -> None:
        """Close all channels; calls in flight fail."""
        self._is_closed = True
        for place in self._places.values():
            for channel in (*place.open, *place.retired):
                channel.close()
            if place.connecting is not None:
                await asyncio.gather(place.connecting, return_exceptions=True)
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    async def _place_of(self, key: str) -> _Place:
        if self._is_closed:
            raise exceptions.ConnectionError("the client was closed")
        self._loop = self._loop or asyncio.get_running_loop()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("this client belongs to the event loop of its first call: create one for each loop")
        if own_threads.allowed:
            self._pools.look()
        elif self._pools.fails_over:
            # Without a thread of its own, looking may take a while.
            await self.in_thread(self._pools.look)
        node = self._pools.node_of(key)
        if node is None:
            node = await self._locate(key)
        place = self._places.get(node)
        if place is None:
            place = self._places[node] = _Place(self._size)
        return place

    async def _locate(self, key: str) -> object:
        """Find out the node of a key; others that ask meanwhile are answered with it, if it is theirs."""
        while (node := self._pools.node_of(key)) is None:
            if self._locating is None:
                self._locating = asyncio.ensure_future(self.in_thread(self._pools.node_of, key, CONNECT_TIMEOUT))
                self._locating.add_done_callback(self._located)
            await asyncio.shield(self._locating)
        return node

    def _located(self, task: "asyncio.Task[object]") -> None:
        self._locating = None
        task.cancelled() or task.exception()

    async def _check(self, place: _Place) -> None:
        """Close channels that were idle for long and don't answer: something on the way may have forgotten them."""
        idle = [each for each in place.open if _is_idle(each)]
        if not idle or len(idle) < len(place.open):
            return
        if place.checking is None:
            place.checking = asyncio.ensure_future(_close_silent(idle))
            place.checking.add_done_callback(lambda _: setattr(place, "checking", None))
        await asyncio.shield(place.checking)

    async def _connect(self, place: _Place, key: str) -> Channel:
        if place.connecting is None:
            self._connect_later(place, key)
        assert place.connecting is not None
        # Others may wait for it, too, when this coroutine is cancelled.
        return await asyncio.shield(place.connecting)

    def _connect_later(self, place: _Place, key: str) -> None:
        async def connect() -> Channel:
            channel = await self._new(place, key)
            place.open.append(channel)
            return channel

        def done(task: "asyncio.Task[Channel]") -> None:
            place.connecting = None
            # There may be no coroutine left that waits for it.
            task.cancelled() or task.exception()

        place.connecting = asyncio.ensure_future(connect())
        place.connecting.add_done_callback(done)

    async def _new(self, place: _Place, key: str) -> Channel:
        """Connect. Also when it is cancelled, no connection remains: it is closed once it is there."""
        loop = asyncio.get_running_loop()
        connecting = asyncio.ensure_future(self.in_thread(self._open, key))
        try:
            connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_disconnect)
            raise
        if self._is_closed:
            connection.disconnect()
            raise exceptions.ConnectionError("the client was closed")
        return Channel(loop, connection, place.closed)

    def _open(self, key: str) -> Any:
        """Return a new connection, in a thread. Its errors are explained here, since that may take a probe."""
        connection = self._pools.connection(key, may_probe=True)
        try:
            connection.connect()
            connection.send_command("PING", check_health=False)
            read_reply(connection)
        except BaseException:
            connection.disconnect()
            raise
        return connection

    async def in_thread(self, function: Any, *given: Any) -> Any:
        """Call a function in one of the threads that connect."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gopher-connecting")
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, in_thread_context().run, function, *given
        )


def _is_idle(channel: Channel) -> bool:
    return not channel.load and asyncio.get_running_loop().time() - channel.heard_at >= IDLE


async def _answers(channel: Channel) -> bool:
    if not _is_idle(channel):
        return channel.is_open
    return (await channel.send([Command("", ("PING",)).command()], CHECK)).error is None


async def _close_silent(channels: Sequence[Channel]) -> None:
    # One that does not answer in time is closed by that.
    await asyncio.gather(*map(_answers, channels))


def _disconnect(connecting: "asyncio.Task[Any]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().disconnect()
