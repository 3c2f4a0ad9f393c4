"""Auto-pipelining, as clients of Redis call it: threads that ask at the same time share a round trip.

Calls on a key that come while a round trip for that key is under way go together in the next one. Nobody waits for
others to come: who is alone goes at once.
"""

import copy
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from .queue import Call

#: Takes calls on one key and returns what came of each, in order: the reply or an exception. What it raises is what
#: came of all of them.
Exchange = Callable[[Sequence[Call]], list[Any]]


class Interrupted(Exception):
    """Raised when the thread that had sent the call was interrupted before it could hand over the reply."""


class AutoPipeline:
    """Runs calls for all threads of a process."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        #: By process: in one that was forked, those who wait in the parent will never be woken.
        self._trips: dict[int, _Trips] = {}

    def run(self, call: Call) -> Any:
        """Return the reply to a call. Raises what came of it; an `Interrupted` call may have been done or not."""
        process = os.getpid()
        trips = self._trips.get(process) or self._trips.setdefault(process, _Trips(self._exchange))
        return trips.run(call)


class _Seat:
    """A call, and where it is: it waits, or leads a round trip, or has come back."""

    __slots__ = ("call", "outcome", "party", "turn")

    def __init__(self, call: Call) -> None:
        self.call = call
        #: The reply, or an exception.
        self.outcome: Any = None
        #: Who is on the round trip that this one leads, itself first. None for all others.
        self.party: list[_Seat] | None = None
        #: Of one that waits: free once there is an outcome or a party.
        self.turn: threading.Lock | None = None


class _Trips:
    """The round trips of one process."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._lock = threading.Lock()
        #: By keys for which a round trip is under way: who goes on the next one.
        self._waiting: dict[str, list[_Seat]] = {}

    def run(self, call: Call) -> Any:
        seat = self._board(call)
        try:
            if seat.turn is not None:
                seat.turn.acquire()
            if seat.party is not None:
                self._lead(seat.party)
        except BaseException:
            self._leave(seat)
            raise
        if isinstance(seat.outcome, Exception):
            raise seat.outcome
        return seat.outcome

    def _board(self, call: Call) -> _Seat:
        seat = _Seat(call)
        with self._lock:
            waiting = self._waiting.get(call.key)
            if waiting is None:
                self._waiting[call.key] = []
                seat.party = [seat]
            else:
                seat.turn = _taken_lock()
                waiting.append(seat)
        return seat

    def _lead(self, party: list[_Seat]) -> None:
        outcomes: list[Any] = []
        try:
            outcomes = self._exchange([seat.call for seat in party])
        except Exception as error:  # noqa: BLE001 - each raises its own
            # One for each: a traceback belongs to one thread.
            outcomes = [copy.copy(error) for _ in party]
        finally:
            # The next ones first: they have a round trip before them.
            self._pass_on(party[0])
            for at, seat in enumerate(party):
                seat.outcome = outcomes[at] if outcomes else Interrupted("the thread that sent this was interrupted")
                if seat.turn is not None:
                    _wake(seat.turn)

    def _pass_on(self, leader: _Seat) -> None:
        """End a round trip; who has waited longest leads the next one."""
        key = leader.call.key
        with self._lock:
            leader.party = None
            waiting = self._waiting.pop(key)
            if waiting:
                self._waiting[key] = []
                waiting[0].party = waiting
        if waiting and waiting[0].turn is not None:
            _wake(waiting[0].turn)

    def _leave(self, seat: _Seat) -> None:
        """Let a thread go that was interrupted: nobody is to wait for it."""
        with self._lock:
            waiting = self._waiting.get(seat.call.key, [])
            if seat in waiting:
                waiting.remove(seat)
            elif seat.party is not None:
                # It was to lead. Those who were to go along are the first of the next round trip.
                waiting[:0] = seat.party[1:]
        if seat.party is not None:
            self._pass_on(seat)


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _wake(turn: threading.Lock) -> None:
    # Of who leads it was set free when it was told to.
    if turn.locked():
        turn.release()
