"""Executes calls of scripts, and retries them until there is a reply.

Retries are safe, since every script can be sent again with the same arguments. So a call whose reply was lost is sent
again, and its outcome is unknown only if the server stays unavailable.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from gopher.base.pauses import pauses
from gopher.base.waiting import sleep
from gopher.config.settings import Settings
from gopher.errors import QueueFull

from .calls import Call, Sendable
from .connections import Pools
from .errors import CONNECTION_ERRORS, ERRORS, explained, given_up, is_elsewhere, is_unavailable, refusal, word_of
from .exchange import LostReply, exchange
from .pipelining import AutoPipeline, Interrupted
from .redis_py import exceptions
from .waiting_calls import WaitingCalls

T = TypeVar("T")

#: Seconds for which a call is retried.
PATIENCE = 2.0
#: Maximum seconds between two attempts, or to connect: fewer if another server may take over.
LONGEST_PAUSE, FAILOVER_PAUSE = 1.0, 0.3
#: Maximum calls per round trip to several queues, so that other clients wait no longer than for a large script.
_TOGETHER = 200

# Errors by which a call may be lost; the last one means that no node of a cluster is reachable.
_LOST = (*CONNECTION_ERRORS, exceptions.RedisClusterException)


class Executor:
    """Runs calls over a small pool of connections. Threads may share one; processes may not."""

    pools_kind: type[Pools] = Pools
    #: Whether a first attempt ends so early that there is time for another one.
    first_is_short = True

    def __init__(self, settings: Settings, *, connections: int = 10) -> None:
        self.settings = settings
        with explained():
            self.pools = self.pools_kind(settings, connections)
        self._client: Any = None
        self._auto_pipeline = AutoPipeline(self._outcomes)
        self._longest_pause = FAILOVER_PAUSE if self.pools.fails_over else LONGEST_PAUSE
        self._waiting = WaitingCalls(connections) if self.pools.clustered else None

    @property
    def client(self) -> Any:
        """redis-py's client, for reads, and for writes other than moves of jobs.

        Raises a ServerError while no node of a cluster has responded yet.
        """
        if self._client is None:
            with explained():
                self._client = self.pools.client
        return self._client

    def run(self, call: Sendable, *, patience: float = PATIENCE) -> Any:
        """Run a call and return its parsed reply.

        Raises a ServerError: OutcomeUnknown if it was sent and there was no reply within `patience` seconds.
        """
        return self.run_all([call], patience=patience)[0]

    def run_all(self, calls: Sequence[Sendable], *, patience: float = PATIENCE) -> list[Any]:
        """Run calls on one queue in one round trip; replies are in order. Raises as `run` does."""
        replies: list[Any] = self._persist(lambda since: self._attempt(calls, since), patience, calls[0].key)
        return replies

    def run_with_others(self, call: Call, *, patience: float = PATIENCE) -> Any:
        """Run a call like `run`, sharing round trips with concurrent calls of other threads.

        Only for threads that are not interrupted, see `AutoPipeline`.
        """

        def attempt(since: float | None) -> Any:
            return self._auto_pipeline.run(call) if since is None else self._attempt([call], since)[0]

        return self._persist(attempt, patience, call.key)

    def read(self, read: Callable[[], T]) -> T:
        """Read with `client`; retry while the server is unavailable. Raises the last of redis-py's errors."""
        give_up_at, delays = time.monotonic() + PATIENCE, pauses(cap=self._longest_pause)
        while True:
            try:
                return read()
            except ERRORS as error:
                problem, delay = error, next(delays)
                if not is_unavailable(error) or time.monotonic() + delay > give_up_at:
                    raise
            sleep(delay)
            self._look_again(problem)

    def write(self, key: str, write: Callable[[], T]) -> T:
        """Write with `client`; retry while the server is out of memory and memory can be freed on the node of `key`."""
        give_up_at, rooms = time.monotonic() + PATIENCE, 0
        while True:
            try:
                with explained():
                    return write()
            except QueueFull:
                if not self._made_room(key, rooms, give_up_at):
                    raise
                rooms += 1

    def _made_room(self, key: str, rooms: int, give_up_at: float) -> bool:
        """Free memory if the server is out of memory, at least once or within the time; return whether to retry."""
        return (not rooms or time.monotonic() < give_up_at) and self.make_room(key, rooms)

    def make_room(self, key: str, rooms: int) -> bool:
        """Free memory on the node of `key` if records can be evicted; return whether to retry."""
        return False

    def _persist(self, attempt: Callable[[float | None], Any], patience: float, key: str) -> Any:
        """Attempt a call until it has a reply; after a timeout, on a connection that has worked since a given time.

        In a cluster, only a few calls to a node are retried at the same time.
        """
        if self._waiting is None:
            return self._retry(attempt, patience, key)
        with self._waiting.call_to(self._node_of(key)) as may_wait:
            return self._retry(attempt, patience, key, may_wait)

    def _retry(
        self,
        attempt: Callable[[float | None], Any],
        patience: float,
        key: str,
        may_wait: Callable[[], bool] = lambda: True,
    ) -> Any:
        began = time.monotonic()
        give_up_at = began + patience
        delays: Iterator[float] | None = None
        sent, rooms = False, 0
        since: float | None = None
        is_on_another = False
        while True:
            try:
                return attempt(since)
            except LostReply as lost:
                sent, problem = True, lost.cause
                # The connection may have been dead.
                since = began if isinstance(problem, exceptions.TimeoutError) else None
            except Interrupted as error:
                sent, problem = True, error
            except _LOST as error:
                problem = error
            except exceptions.ResponseError as error:
                if is_elsewhere(error):
                    self.pools.refresh()
                elif word_of(error) == "OOM" and self._made_room(key, rooms, give_up_at):
                    rooms += 1
                    continue
                elif word_of(error) != "LOADING":
                    raise refusal(error) from error
                problem = error
            delays = delays or pauses(cap=self._longest_pause)
            delay = next(delays)
            # A connection that was forgotten on the way says nothing of the server: another one is tried in any case,
            # also by a process that had no processor meanwhile.
            must_try_another = self.first_is_short and since is not None and not is_on_another and patience > 0
            if (time.monotonic() + delay > give_up_at and not must_try_another) or not may_wait():
                raise given_up(problem, sent) from problem
            is_on_another = since is not None
            sleep(delay)
            self._look_again(problem)

    def _node_of(self, key: str) -> object:
        with explained():
            return self.pools.pool_for(key)

    def _look_again(self, problem: Exception) -> None:
        """Refresh a cluster's slots after a connection was lost."""
        if isinstance(problem, _LOST):
            self.pools.refresh_cluster()

    def run_each(self, calls: Sequence[Sendable], *, patience: float = PATIENCE) -> list[Any]:
        """Run calls on any queues, in one round trip per some hundreds on a node. Replies are in order."""
        by_node: dict[Any, list[int]] = {}
        for index, call in enumerate(calls):
            by_node.setdefault(self._node_of(call.key), []).append(index)
        replies: dict[int, Any] = {}
        for places in by_node.values():
            for at in range(0, len(places), _TOGETHER):
                some = places[at : at + _TOGETHER]
                replies |= zip(some, self.run_all([calls[index] for index in some], patience=patience), strict=True)
        return [replies[index] for index in range(len(calls))]

    def close(self) -> None:
        self.pools.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _attempt(self, calls: Sequence[Sendable], since: float | None = None) -> list[Any]:
        outcomes = self._outcomes(calls, since)
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if errors:
            # Regardless of rejected calls: if a reply was lost, more may have been executed.
            raise next((error for error in errors if isinstance(error, LostReply)), errors[0])
        return outcomes

    def _outcomes(self, calls: Sequence[Sendable], since: float | None = None) -> list[Any]:
        """Send calls once, and return the parsed reply or error of each."""
        try:
            idle = self.pools.idle(calls[0].key)
            connection = idle.take() if since is None else idle.take_proven(since)
        except ERRORS as error:
            # Nothing was sent. A new exception for each, since each may be raised in a different thread.
            return [error, *(copy.copy(error) for _ in calls[1:])]
        try:
            return self._send(connection, calls)
        finally:
            if since is None:
                idle.put(connection)
            else:
                idle.put_back_proven(connection)

    def _send(self, connection: Any, calls: Sequence[Sendable]) -> list[Any]:
        """Send calls once on a connection, and return the parsed reply or error of each."""
        return self._exchange(connection, calls)

    def _exchange(self, connection: Any, calls: Sequence[Sendable]) -> list[Any]:
        return exchange(connection, calls)
