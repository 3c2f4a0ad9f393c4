"""Calls that are acknowledged only once replicas, or disks, have them.

A call is followed, in the same pipeline, by a write that always changes something, by WAIT (or WAITAOF), which blocks
the connection until replicas have received what was written on it, and by a look at the replicas. The write is needed
because a repeated call changes nothing: WAIT would confirm whatever was last written on the connection.

WAIT delays whatever follows on its connection, so these calls have connections of their own. Concurrent ones share
round trips, and thus one WAIT.
"""

import copy
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, NamedTuple

from gopher.base.durability import STORED, SYNCED
from gopher.base.waiting import sleep

from .calls import Call, Command, Sendable
from .exchange import LostReply
from .executor import Executor
from .replicas import MAY_BE_PROMOTED, Replicas, read_look
from .waiting_room import AT_ONCE, WaitingRoom

#: Seconds between two attempts while another server may take over, or a replica is expected to connect.
_PAUSE = 0.1
#: Seconds of waiting after which replicas count as silent. (Disks are written to once a second.)
SILENT_AFTER = 0.25
#: When a connection must have worked to be used: at any time.
_EVER = float("-inf")
#: The seconds that the call of this thread may wait.
_seconds: ContextVar[float] = ContextVar("seconds")
_REMEDY = f"or submit with durability {STORED}"


class Shortfall(NamedTuple):
    """Why a call is not confirmed."""

    reason: str
    #: Whether that may be over in a moment.
    may_pass: bool = False
    #: Whether replicas are connected and did not confirm it in time.
    was_silent: bool = False
    #: The server's error.
    cause: Exception | None = None


class Confirmed(NamedTuple):
    """The reply to a call, and what is missing; None if it is as durable as it has to be."""

    reply: Any
    shortfall: Shortfall | None


class ConfirmingExecutor(Executor):
    """Runs calls beside another executor, on connections of its own, and has them confirmed.

    `write_for` returns the write that follows calls on a key. Threads that wait for long take one of the `places`.
    """

    first_is_short = False

    def __init__(
        self,
        beside: Executor,
        durability: str,
        write_for: Callable[[str], Command],
        *,
        connections: int,
        places: threading.Semaphore | None = None,
    ) -> None:
        settings = beside.settings
        self._longest = settings.durability_timeout
        # Replies come after what WAIT takes.
        super().__init__(
            replace(settings, redis_timeout=settings.redis_timeout + self._longest), connections=connections
        )
        self._beside = beside
        self._write_for = write_for
        self._is_synced = durability == SYNCED
        self._needed = settings.durability_replicas if self._is_synced else max(settings.durability_replicas, 1)
        self._room = WaitingRoom(self._longest, self._longest if self._is_synced else SILENT_AFTER, places)
        #: By the address of the server.
        self._replicas: dict[object, Replicas] = {}
        self._asking = threading.Lock()

    def confirm(self, call: Call, *, patience: float, shared: bool) -> Confirmed:
        """Run a call and wait until it is as durable as it has to be, at most for the configured time.

        With `shared` it shares round trips with concurrent calls, see `AutoPipeline`. Raises as `run` does.
        """
        give_up_at = time.monotonic() + self._longest
        with self._room.seconds() as (seconds, is_longest):
            while True:
                # Read by `_send`, in this thread or coroutine.
                _seconds.set(seconds)
                run = self.run_with_others if shared and is_longest else self.run
                confirmed: Confirmed = run(call, patience=patience)
                shortfall = confirmed.shortfall
                if shortfall is None or shortfall.was_silent:
                    self._room.note(confirmed=shortfall is None, waited=is_longest)
                is_over = not is_longest or time.monotonic() + _PAUSE > give_up_at
                if shortfall is None or not shortfall.may_pass or is_over:
                    return confirmed
                sleep(_PAUSE)
                self.pools.refresh()

    def make_room(self, key: str, rooms: int) -> bool:
        return self._beside.make_room(key, rooms)

    def _outcomes(self, calls: Sequence[Sendable], since: float | None = None) -> list[Any]:
        # On a proven connection: a first attempt may not take as long as WAIT does.
        return super()._outcomes(calls, _EVER if since is None else since)

    def _send(self, connection: Any, calls: Sequence[Sendable]) -> list[Any]:
        """Send calls once and wait for their confirmation; return `Confirmed`, or the error, of each."""
        key, replicas = calls[0].key, self._replicas_at(connection)
        seconds = _seconds.get()
        until = time.monotonic() + seconds
        # WAIT does not notice that too few replicas are connected, so it may wait only if enough of them are.
        first = seconds if replicas.are_at_least(self._needed) else AT_ONCE
        *replies, written, count, look = self._exchange(
            connection, [*calls, self._write_for(key), self._wait(key, first), _look(key)]
        )
        replicas.saw(read_look(look), time.monotonic())
        left = until - time.monotonic()
        if self._is_silent(count, replicas) and left > AT_ONCE:
            count, look = self._exchange(connection, [self._wait(key, left), _look(key)])
            replicas.saw(read_look(look), time.monotonic())
        # Whatever was executed, it has to be repeated to be confirmed.
        lost = next((each for each in (written, count) if isinstance(each, LostReply)), written)
        if isinstance(lost, Exception):
            # A new exception for each, since each may be raised in a different thread.
            return [reply if isinstance(reply, Exception) else copy.copy(lost) for reply in replies]
        if self.pools.fails_over and not replicas.is_for_good and self._is_enough(count):
            self._ask_of(replicas, self._address_of(connection))
        shortfall = self._shortfall(count, replicas, seconds)
        return [reply if isinstance(reply, Exception) else Confirmed(reply, shortfall) for reply in replies]

    def _replicas_at(self, connection: Any) -> Replicas:
        return self._replicas.setdefault(self._address_of(connection), Replicas())

    def _address_of(self, connection: Any) -> Any:
        return getattr(connection, "host", None), getattr(connection, "port", None)

    def _ask_of(self, replicas: Replicas, address: Any) -> None:
        """Ask whether a server that this process sees for the first time is being replaced; it missed who has left."""
        # One thread asks, and the others wait for the answer.
        with self._asking:
            if not replicas.is_for_good and time.monotonic() - replicas.asked_at > _PAUSE:
                replicas.is_for_good = self.pools.is_for_good(address)
                replicas.asked_at = time.monotonic()

    def _wait(self, key: str, seconds: float) -> Command:
        counts = ("WAITAOF", "1") if self._is_synced else ("WAIT",)
        return Command(key, (*counts, str(self._needed), str(max(round(seconds * 1000), 1))))

    def _is_enough(self, count: Any) -> bool:
        """Return whether the reply to WAIT or WAITAOF confirms the calls."""
        if self._is_synced:
            return isinstance(count, list) and count[0] >= 1 and count[1] >= self._needed
        return isinstance(count, int) and count >= self._needed

    def _is_silent(self, count: Any, replicas: Replicas) -> bool:
        """Return whether it is worth to wait for longer."""
        is_enough = isinstance(count, Exception) or self._is_enough(count)
        return not is_enough and (replicas.connected is None or replicas.are_at_least(self._needed))

    def _shortfall(self, count: Any, replicas: Replicas, seconds: float) -> Shortfall | None:
        if isinstance(count, Exception):
            name = self._wait("", 0).verb
            return Shortfall(f"the server refuses {name}: use one that permits it, {_REMEDY}", cause=count)
        if self.pools.fails_over and replicas.one_may_be_promoted:
            reason = (
                f"a replica has disconnected within the last {MAY_BE_PROMOTED:g} s and may be taking over: "
                "jobs that it has not received would be lost"
            )
            return Shortfall(reason, may_pass=True)
        if self._is_enough(count):
            return None if replicas.is_for_good or not self.pools.fails_over else _not_for_good(replicas)
        if self._is_silent(count, replicas):
            return Shortfall(f"not confirmed within {seconds:g} s by {self._asked()}", was_silent=True)
        reason = f"{replicas.connected or 0} of {self._needed} replicas are connected: attach more, {_REMEDY}"
        return Shortfall(reason, may_pass=self.pools.fails_over)

    def _asked(self) -> str:
        replicas = f"{self._needed} replica{'' if self._needed == 1 else 's'}"
        return f"the server's disk and {replicas}" if self._is_synced else replicas


def _look(key: str) -> Command:
    return Command(key, ("INFO", "replication"))


def _not_for_good(replicas: Replicas) -> Shortfall:
    if replicas.is_for_good is None:
        reason = "most Sentinels don't reply, and may have another server take over: check that they run, and REDIS_URL"
    else:
        reason = "another server is taking over: jobs that it has not received would be lost"
    return Shortfall(reason, may_pass=True)
