"""The models of the statistics of queues. Ages and durations are seconds."""

import msgspec

from .fields import Priority, TypeName


class PriorityStats(msgspec.Struct):
    """The waiting jobs of one priority of a queue."""

    waiting: int
    oldest_waiting_age: float


class QueueStats(msgspec.Struct):
    """The figures of one queue. `totals` counts how jobs and attempts have ended.

    `paused_for` is null unless the queue is paused; `paused_types` are the types that are paused in it.
    """

    waiting: int
    processing: int
    scheduled: int
    retrying: int
    failed: int
    oldest_waiting_age: float
    priorities: dict[Priority, PriorityStats]
    total_enqueued: int
    total_dequeued: int
    totals: dict[str, int]
    throttled_keys: int = 0
    paused_for: float | None = None
    paused_types: dict[TypeName, float] = {}


class Stats(msgspec.Struct):
    """Statistics of all queues together, and of each."""

    queue_size: int
    total_enqueued: int
    total_dequeued: int
    queues: dict[str, QueueStats]

    @property
    def paused_queues(self) -> dict[str, float]:
        """Return the paused queues, and for how long each has been (s)."""
        return {name: queue.paused_for for name, queue in self.queues.items() if queue.paused_for is not None}

    @property
    def paused_types(self) -> dict[str, float]:
        """Return the types that are paused in any queue, and for how long each has been (s)."""
        found: dict[str, float] = {}
        for queue in self.queues.values():
            for name, seconds in queue.paused_types.items():
                found[name] = max(found.get(name, 0.0), seconds)
        return dict(sorted(found.items()))
