"""Executes calls of scripts, and retries them until there is a reply.

Retries are safe, since every script can be sent again with the same arguments. So a call whose reply was lost is sent
again, and its outcome is unknown only if the server stays unavailable.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from redis import exceptions

from gopher.base.pauses import pauses
from gopher.config.settings import Settings
from gopher.errors import QueueFull

from .calls import Call, Sendable
from .connections import Pools
from .errors import CONNECTION_ERRORS, ERRORS, explained, given_up, is_elsewhere, refusal, word_of
from .exchange import LostReply, exchange
from .pipelining import AutoPipeline, Interrupted

T = TypeVar("T")

#: Seconds for which a call is retried.
PATIENCE = 2.0
#: Maximum calls per round trip to several queues, so that other clients wait no longer than for a large script.
_TOGETHER = 200

# Errors by which a call may be lost; the last one means that no node of a cluster is reachable.
_LOST = (*CONNECTION_ERRORS, exceptions.RedisClusterException)


class Executor:
    """Runs calls over a small pool of connections. Threads may share one; processes may not."""

    def __init__(self, settings: Settings, *, connections: int = 10) -> None:
        self.settings = settings
        with explained():
            self.pools = Pools(settings, connections)
        #: For reads, and for writes other than moves of jobs.
        self.client: Any = self.pools.client
        self._auto_pipeline = AutoPipeline(self._outcomes)

    def run(self, call: Call, *, patience: float = PATIENCE) -> Any:
        """Run a call and return its parsed reply.

        Raises a ServerError: OutcomeUnknown if it was sent and there was no reply within `patience` seconds.
        """
        return self.run_all([call], patience=patience)[0]

    def run_all(self, calls: Sequence[Sendable], *, patience: float = PATIENCE) -> list[Any]:
        """Run calls on one queue in one round trip; replies are in order. Raises as `run` does."""
        replies: list[Any] = self._persist(lambda: self._attempt(calls), patience, calls[0].key)
        return replies

    def run_with_others(self, call: Call, *, patience: float = PATIENCE) -> Any:
        """Run a call like `run`, sharing round trips with concurrent calls of other threads.

        Only for threads that are not interrupted, see `AutoPipeline`.
        """
        return self._persist(lambda: self._auto_pipeline.run(call), patience, call.key)

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

    def _persist(self, attempt: Callable[[], Any], patience: float, key: str) -> Any:
        give_up_at = time.monotonic() + patience
        delays: Iterator[float] | None = None
        sent, rooms = False, 0
        while True:
            try:
                return attempt()
            except LostReply as lost:
                sent, problem = True, lost.cause
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
            delays = delays or pauses()
            delay = next(delays)
            if time.monotonic() + delay > give_up_at:
                raise given_up(problem, sent) from problem
            time.sleep(delay)
            self._look_again(problem)

    def _look_again(self, problem: Exception) -> None:
        """Refresh a cluster's slots after a connection was lost."""
        if isinstance(problem, _LOST):
            self.pools.refresh_cluster()

    def run_each(self, calls: Sequence[Call], *, patience: float = PATIENCE) -> list[Any]:
        """Run calls on any queues, in one round trip per some hundreds on a node. Replies are in order."""
        by_node: dict[Any, list[int]] = {}
        for index, call in enumerate(calls):
            by_node.setdefault(self.pools.pool_for(call.key), []).append(index)
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

    def _attempt(self, calls: Sequence[Sendable]) -> list[Any]:
        outcomes = self._outcomes(calls)
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if errors:
            # Regardless of rejected calls: if a reply was lost, more may have been executed.
            raise next((error for error in errors if isinstance(error, LostReply)), errors[0])
        return outcomes

    def _outcomes(self, calls: Sequence[Sendable]) -> list[Any]:
        """Send calls once, and return the parsed reply or error of each."""
        try:
            idle = self.pools.idle(calls[0].key)
            connection = idle.take()
        except ERRORS as error:
            # Nothing was sent. A new exception for each, since each may be raised in a different thread.
            return [error, *(copy.copy(error) for _ in calls[1:])]
        try:
            return exchange(connection, calls)
        finally:
            idle.put(connection)
