"""One queue that a worker serves: how its jobs come in, how their outcomes go out, and what covers them meanwhile."""

from dataclasses import dataclass
from typing import Self

from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.queue.moves import Queue
from gopher.server.event_loop import EventLoop

from .clock import ServerClock
from .declared_limits import DeclaredLimits
from .fetcher import Fetcher
from .inventory import Inventory
from .priority_cycle import PriorityCycle
from .settler import Settler


@dataclass(slots=True, eq=False)
class QueueLease:
    """What the server has said of our lease on a queue: each may lie on a node of its own. Monotonic seconds."""

    #: When a heartbeat was last answered.
    heard_at: float
    #: Whether the last heartbeat was not answered yet.
    unanswered: bool = False
    #: Whether a heartbeat of this worker's id was answered.
    granted: bool = False
    #: When other workers have shown that they live, too, after the server was away.
    all_back_at: float = 0.0


@dataclass(slots=True, eq=False)
class ServedQueue:
    """What a worker keeps for one queue."""

    queue: Queue
    fetcher: Fetcher
    settler: Settler
    inventory: Inventory
    limits: DeclaredLimits
    lease: QueueLease

    @property
    def name(self) -> str:
        return self.queue.name

    @classmethod
    def open(
        cls,
        queue: Queue,
        event_loop: EventLoop,
        clock: ServerClock,
        settings: Settings,
        registry: Registry,
        now: float,
        *,
        with_prelude: bool,
    ) -> Self:
        cycle = PriorityCycle(settings.worker_priority_weights)
        fetcher = Fetcher(queue, event_loop, cycle, settings.worker_poll_interval, with_prelude=with_prelude)
        return cls(
            queue,
            fetcher,
            Settler(queue, fetcher.pipeline, clock, settings.worker_lease),
            Inventory(fetcher),
            DeclaredLimits(queue, fetcher.pipeline, registry),
            QueueLease(now),
        )

    @property
    def may_take(self) -> bool:
        """Whether jobs may come from it.

        Not without a lease: what a blocking pop brings then stands in an unknown list. Nor while many outcomes are
        refused.
        """
        return self.lease.granted and not self.settler.delivery.full
