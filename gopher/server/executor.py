"""The server as the rest of Gopher uses it: calls of scripts, repeated until they are answered.

A repeat is harmless, since every script can be sent again with the same arguments. So a call whose
reply was lost is simply sent again, and only when the server stays away is its outcome unknown.
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

#: Seconds for which a call is repeated before it is given up.
PATIENCE = 2.0
#: Calls of one round trip to several queues: what comes meanwhile waits no longer for them than for a large script.
_TOGETHER = 200

# What a call may be lost by; the last says that no node of a cluster is reached.
_LOST = (*CONNECTION_ERRORS, exceptions.RedisClusterException)


class Executor:
    """Runs calls over a small pool of connections. Threads may share one; processes may not."""

    def __init__(self, settings: Settings, *, connections: int = 10) -> None:
        self.settings = settings
        with explained():
            self.pools = Pools(settings, connections)
        #: For reading, and for what is no move of a job.
        self.client: Any = self.pools.client
        self._auto_pipeline = AutoPipeline(self._outcomes)

    def run(self, call: Call, *, patience: float = PATIENCE) -> Any:
        """Run one call and return its reply as the call reads it.

        Raises a ServerError: OutcomeUnknown when it was sent and no reply came for `patience` seconds.
        """
        return self.run_all([call], patience=patience)[0]

    def run_all(self, calls: Sequence[Sendable], *, patience: float = PATIENCE) -> list[Any]:
        """Run calls on one queue in one round trip; the replies are in order. Raises as `run` does."""
        replies: list[Any] = self._persist(lambda: self._attempt(calls), patience, calls[0].key)
        return replies

    def run_with_others(self, call: Call, *, patience: float = PATIENCE) -> Any:
        """Run one call as `run` does, in a round trip with those that other threads ask for at the same time.

        For threads that nobody interrupts, see `AutoPipeline`.
        """
        return self._persist(lambda: self._auto_pipeline.run(call), patience, call.key)

    def write(self, key: str, write: Callable[[], T]) -> T:
        """Write with `client`; while the server is out of memory and room can be made near `key`, try again."""
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
        """Make room where the server is out of memory, for the first time or in time; return whether to try again."""
        return (not rooms or time.monotonic() < give_up_at) and self.make_room(key, rooms)

    def make_room(self, key: str, rooms: int) -> bool:
        """Free memory near `key`, if there is something that may go; return whether to try again."""
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
        """Look up where a cluster's slots are once a connection was lost."""
        if isinstance(problem, _LOST):
            self.pools.refresh_cluster()

    def run_each(self, calls: Sequence[Call], *, patience: float = PATIENCE) -> list[Any]:
        """Run calls on any queues, in one round trip for some hundreds on a node. The replies are in order."""
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
            # Whatever was refused: where a reply was lost, more may have been done.
            raise next((error for error in errors if isinstance(error, LostReply)), errors[0])
        return outcomes

    def _outcomes(self, calls: Sequence[Sendable]) -> list[Any]:
        """Send calls once, and return what came of each: its reply as it reads it, or an error."""
        try:
            idle = self.pools.idle(calls[0].key)
            connection = idle.take()
        except ERRORS as error:
            # Nothing was sent. One for each, since each may be raised in a thread of its own.
            return [error, *(copy.copy(error) for _ in calls[1:])]
        try:
            return exchange(connection, calls)
        finally:
            idle.put(connection)
