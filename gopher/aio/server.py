"""The server as coroutines use it: `Server`, whose calls go over the channels of an asyncio loop."""

import asyncio
import copy
from collections.abc import Coroutine, Sequence
from typing import Any

from redis.client import Pipeline, Redis

from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server.calls import Command, Sendable, written
from gopher.server.confirming import ConfirmingExecutor
from gopher.server.connections import Pools
from gopher.server.errors import ERRORS
from gopher.server.executor import Executor
from gopher.server.idle_connections import FIRST_ATTEMPT
from gopher.server.redis_py import exceptions
from gopher.server.replicas import Replicas

from .bridge import in_threads, wait_for
from .channel import Channel
from .channels import Channels

#: How often a command of a client is sent to a cluster: slots may move.
_REDIRECTS = 3


class LoopPools(Pools):
    """The source of connections, whose own pools are not used."""

    def __init__(self, settings: Settings, size: int) -> None:
        super().__init__(settings, size)
        self.channels = Channels(self, size)

    def refresh(self) -> None:
        self.doubt()
        self.channels.retire()

    def refresh_cluster(self) -> None:
        # The next call replaces a lost channel.
        self.doubt()


class _LoopExecutor(Executor):
    """Runs calls of coroutines, which share channels."""

    pools_kind = LoopPools
    pools: LoopPools

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Coroutines that wait are no threads that others lack.
        self._waiting = None
        self._client = _LoopClient(self)

    def _outcomes(self, calls: Sequence[Sendable], since: float | None = None) -> list[Any]:
        return wait_for(self._exchanged(calls, since))

    async def _exchanged(self, calls: Sequence[Sendable], since: float | None) -> list[Any]:
        try:
            channel = await self.pools.channels.take(calls[0].key, since)
        except ERRORS as error:
            # Nothing was sent.
            return [copy.copy(error) for _ in calls]
        return await channel.exchange(calls, self._timeout(is_first=since is None))

    def _timeout(self, *, is_first: bool) -> float:
        limit = self.settings.redis_timeout
        return min(limit, FIRST_ATTEMPT) if is_first else limit

    def _node_of(self, key: str) -> object:
        return self.pools.place_of(key)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send plain commands once, and return the reply or error of each. Raises redis-py's error if one is lost."""
        by_place: dict[object, list[int]] = {}
        for index, command in enumerate(commands):
            by_place.setdefault(self.pools.place_of(command.key), []).append(index)
        found: list[Any] = [None] * len(commands)
        pieces = [self._send_to_one([commands[index] for index in places]) for places in by_place.values()]
        for places, replies in zip(by_place.values(), await _all(pieces), strict=True):
            for index, reply in zip(places, replies, strict=True):
                found[index] = reply
        return found

    async def _send_to_one(self, commands: Sequence[Command]) -> list[Any]:
        channel = await self.pools.channels.take(commands[0].key)
        replies, error = await channel.send([each.command() for each in commands], self._timeout(is_first=False))
        if error is not None:
            self.pools.doubt()
            raise copy.copy(error)
        return replies

    async def aclose(self) -> None:
        await self.pools.channels.close()


class LoopConfirming(_LoopExecutor, ConfirmingExecutor):
    """Runs calls that are acknowledged once replicas have them: each on a channel of its own meanwhile."""

    def __init__(self, beside: "LoopServer", *given: Any, **named: Any) -> None:
        super().__init__(beside, *given, **named)
        beside.executors.append(self)

    def _outcomes(self, calls: Sequence[Sendable], since: float | None = None) -> list[Any]:
        key, channels = calls[0].key, self.pools.channels
        try:
            channel = wait_for(channels.lend(key))
        except ERRORS as error:
            return [copy.copy(error) for _ in calls]
        try:
            return self._send(channel, calls)
        finally:
            channels.give_back(channel)

    def _exchange(self, connection: Channel, calls: Sequence[Sendable]) -> list[Any]:
        return wait_for(connection.exchange(calls, self.settings.redis_timeout))

    def _address_of(self, connection: Channel) -> Any:
        return connection.address

    def _ask_of(self, replicas: Replicas, address: Any) -> None:
        wait_for(self.pools.channels.in_thread(super()._ask_of, replicas, address))


class LoopServer(_LoopExecutor, Server):
    """The queues of an installation, for coroutines. Its methods are called with `run`."""

    def __init__(self, settings: Settings, *, connections: int = 10) -> None:
        super().__init__(settings, connections=connections)
        #: This one, and those of confirmed submissions.
        self.executors: list[_LoopExecutor] = [self]

    def confirming_kind(self) -> type[ConfirmingExecutor]:
        return LoopConfirming


class _LoopClient(Redis):
    """redis-py's commands, sent over the channels."""

    def __init__(self, executor: _LoopExecutor) -> None:
        # It never connects by itself.
        super().__init__(protocol=2)
        self._executor = executor

    def execute_command(self, *words: Any, **options: Any) -> Any:
        if "target_nodes" in options:
            # Those that all nodes of a cluster are asked, for health: redis-py knows them.
            cluster: Any = self._executor.pools
            return in_threads(None, lambda: cluster.client.execute_command(*words, **options))()
        (reply,) = self.replies([_command(words)])
        if isinstance(reply, Exception):
            raise reply
        return self.parsed(words[0], reply, options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "_LoopPipeline":
        return _LoopPipeline(self, transaction=transaction)

    def replies(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return the reply or error of each; those that a cluster redirects are sent again."""
        found = wait_for(self._executor.send(commands))
        for _ in range(_REDIRECTS):
            moved = [index for index, reply in enumerate(found) if isinstance(reply, exceptions.MovedError)]
            if not moved:
                break
            self._executor.pools.refresh()
            again = wait_for(self._executor.send([commands[index] for index in moved]))
            for index, reply in zip(moved, again, strict=True):
                found[index] = reply
        return found

    def parsed(self, name: str, reply: Any, options: dict[str, Any]) -> Any:
        """Return a reply as redis-py does."""
        options = {key: value for key, value in options.items() if key != "keys"}
        callback = self.response_callbacks.get(name)
        return callback(reply, **options) if callback else reply


class _LoopPipeline(Pipeline):
    """Commands that are sent together."""

    def __init__(self, client: _LoopClient, *, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._loop_client, self._is_transaction = client, transaction

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, self.command_stack = self.command_stack, []
        if not stack:
            return []
        commands = [_command(words) for words, _ in stack]
        if self._is_transaction:
            # On one channel nothing comes between them.
            key = commands[0].key
            *_, replies = self._loop_client.replies([Command(key, ("MULTI",)), *commands, Command(key, ("EXEC",))])
            if isinstance(replies, Exception):
                raise replies
        else:
            replies = self._loop_client.replies(commands)
        found = [
            reply if isinstance(reply, Exception) else self._loop_client.parsed(words[0], reply, options)
            for (words, options), reply in zip(stack, replies, strict=True)
        ]
        for each in found if raise_on_error else ():
            if isinstance(each, Exception):
                raise each
        return found


async def _all(pieces: "Sequence[Coroutine[Any, Any, list[Any]]]") -> list[list[Any]]:
    if len(pieces) == 1:
        return [await pieces[0]]
    return await asyncio.gather(*pieces)


def _command(words: Sequence[Any]) -> Command:
    # Names such as CONFIG GET are two words.
    name, *rest = words
    key = rest[0] if rest else ""
    return Command(key if isinstance(key, str) else "", (*name.split(), *map(written, rest)))
