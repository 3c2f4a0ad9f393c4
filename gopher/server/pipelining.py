"""Auto-pipelining, as clients of Redis call it: threads that ask at the same time share a round trip.

Calls on a key that come while a round trip for that key is under way go together in the next one. Nobody waits for
others to come: who is alone goes at once. Nor does anybody wait long: a connection may hang while others do not.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from .calls import Call

#: Seconds for which a round trip is waited for.
LONG = 0.25


class Interrupted(Exception):
    """Raised when the thread that had sent the call was interrupted before it could hand over the reply."""


class _Seat:
    """A call, and where it is."""

    __slots__ = ("call", "outcome", "trip", "turn")

    def __init__(self, call: Call) -> None:
        self.call = call
        #: The reply, or an exception.
        self.outcome: Any = None
        #: The round trip that this one is to lead, if any.
        self.trip: _Trip | None = None
        #: Of one that has to wait: free once there is an outcome, or a round trip to lead.
        self.turn: threading.Lock | None = None


class _Trip:
    """A round trip: who is on it, and who has come since and goes on the next one."""

    __slots__ = ("late", "party")

    def __init__(self, party: list[_Seat]) -> None:
        self.party = party
        self.late: list[_Seat] = []

    def take_late(self) -> list[_Seat]:
        taken, self.late = self.late, []
        return taken


class AutoPipeline:
    """Runs calls for the threads of one process. They may not be interrupted while they wait, by a signal's handler
    that raises or by a timeout of gevent: others may have to wait for them.

    `exchange` takes calls on one key and returns what came of each, in order: the reply or an exception.
    """

    def __init__(self, exchange: Callable[[Sequence[Call]], list[Any]]) -> None:
        self._exchange = exchange
        self._lock = threading.Lock()
        #: By keys.
        self._under_way: dict[str, _Trip] = {}

    def run(self, call: Call) -> Any:
        """Return the reply to a call. Raises what came of it; an `Interrupted` call may have been done or not."""
        seat = _Seat(call)
        with self._lock:
            before = self._under_way.get(call.key)
            if before is None:
                self._depart(seat, [seat])
            else:
                seat.turn = threading.Lock()
                seat.turn.acquire()
                before.late.append(seat)
        if before is not None:
            self._wait(seat, before)
        if seat.trip is not None:
            self._lead(seat, seat.trip)
        if isinstance(seat.outcome, Exception):
            raise seat.outcome
        return seat.outcome

    def _depart(self, leader: _Seat, party: list[_Seat]) -> None:
        leader.trip = self._under_way[leader.call.key] = _Trip(party)

    def _wait(self, seat: _Seat, before: _Trip) -> None:
        assert seat.turn is not None
        if seat.turn.acquire(timeout=LONG):
            return
        with self._lock:
            if seat in before.late:
                self._depart(seat, before.take_late())
        if seat.trip is None:
            # It has been taken along.
            seat.turn.acquire()

    def _lead(self, leader: _Seat, trip: _Trip) -> None:
        outcomes: list[Any] = []
        try:
            outcomes = self._exchange([seat.call for seat in trip.party])
        finally:
            # The next ones first: they have a round trip before them.
            self._pass_on(leader.call.key, trip)
            for at, seat in enumerate(trip.party):
                seat.outcome = outcomes[at] if outcomes else Interrupted("the thread that sent this was interrupted")
                if seat.turn is not None and seat is not leader:
                    seat.turn.release()

    def _pass_on(self, key: str, trip: _Trip) -> None:
        """End a round trip; who has waited longest leads the next one."""
        with self._lock:
            if self._under_way.get(key) is not trip:
                # It took too long, and the next one did not wait.
                return
            if not trip.late:
                del self._under_way[key]
                return
            party = trip.take_late()
            self._depart(party[0], party)
        if party[0].turn is not None:
            party[0].turn.release()
