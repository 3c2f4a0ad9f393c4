"""Auto-pipelining: concurrent calls of threads share round trips.

Calls on a key that are made while a batch for that key is in flight are sent together in the next one. No call waits
for others to join: a single call is sent immediately. Waiting is bounded, since connections may hang.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from .calls import Call

#: Maximum seconds to wait for a batch in flight.
LONG = 0.25


class Interrupted(Exception):
    """Raised if the thread that sent the call was interrupted before it could pass on the reply."""


class _Slot:
    """A call and its outcome."""

    __slots__ = ("batch", "call", "outcome", "ready")

    def __init__(self, call: Call) -> None:
        self.call = call
        #: The reply, or an exception.
        self.outcome: Any = None
        #: The batch that this call's thread has to send as its leader, if any.
        self.batch: _Batch | None = None
        #: A lock of a waiting call, released when there is an outcome, or a batch to send.
        self.ready: threading.Lock | None = None


class _Batch:
    """Calls that are sent together, and those queued for the next batch."""

    __slots__ = ("slots", "waiting")

    def __init__(self, slots: list[_Slot]) -> None:
        self.slots = slots
        self.waiting: list[_Slot] = []

    def take_waiting(self) -> list[_Slot]:
        taken, self.waiting = self.waiting, []
        return taken


class AutoPipeline:
    """Runs calls for the threads of a process. They must not be interrupted while they wait, by a signal handler that
    raises or a gevent timeout: other threads may depend on them.

    `exchange` sends calls on one key and returns the reply or exception of each, in order.
    """

    def __init__(self, exchange: Callable[[Sequence[Call]], list[Any]]) -> None:
        self._exchange = exchange
        self._lock = threading.Lock()
        #: The newest batch of each key.
        self._under_way: dict[str, _Batch] = {}

    @property
    def idle(self) -> bool:
        """Whether no batch is in flight."""
        return not self._under_way

    @property
    def waiting(self) -> int:
        """The number of calls queued for the next batch."""
        return sum(len(batch.waiting) for batch in self._under_way.values())

    def run(self, call: Call) -> Any:
        """Return the reply to a call, or raise its exception; an `Interrupted` call may have been executed."""
        slot = _Slot(call)
        with self._lock:
            before = self._under_way.get(call.key)
            if before is None:
                self._begin(slot, [slot])
            else:
                slot.ready = threading.Lock()
                slot.ready.acquire()
                before.waiting.append(slot)
        if before is not None:
            self._wait(slot, before)
        if slot.batch is not None:
            self._flush(slot, slot.batch)
        if isinstance(slot.outcome, Exception):
            raise slot.outcome
        return slot.outcome

    def _begin(self, leader: _Slot, slots: list[_Slot]) -> None:
        leader.batch = self._under_way[leader.call.key] = _Batch(slots)

    def _wait(self, slot: _Slot, before: _Batch) -> None:
        assert slot.ready is not None
        if slot.ready.acquire(timeout=LONG):
            return
        with self._lock:
            if slot in before.waiting:
                self._begin(slot, before.take_waiting())
        if slot.batch is None:
            # Another thread sends it with its batch.
            slot.ready.acquire()

    def _flush(self, leader: _Slot, batch: _Batch) -> None:
        """Send a batch, and distribute the outcomes."""
        outcomes: list[Any] = []
        try:
            outcomes = self._exchange([slot.call for slot in batch.slots])
        finally:
            # The next batch first, since it has a round trip ahead.
            self._hand_over(leader.call.key, batch)
            for at, slot in enumerate(batch.slots):
                slot.outcome = outcomes[at] if outcomes else Interrupted("the thread that sent this was interrupted")
                if slot.ready is not None and slot is not leader:
                    slot.ready.release()

    def _hand_over(self, key: str, batch: _Batch) -> None:
        """End a batch; the call that has waited longest leads the next one."""
        with self._lock:
            if self._under_way.get(key) is not batch:
                # It took too long, and the next one has started.
                return
            if not batch.waiting:
                del self._under_way[key]
                return
            slots = batch.take_waiting()
            leader = slots[0]
            self._begin(leader, slots)
        if leader.ready is not None:
            leader.ready.release()
