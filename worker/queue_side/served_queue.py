"""A queue that a worker serves: its fetcher, settler, and lease."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Self

from gopher.config.settings import Settings
from gopher.jobs.handlers import Handler
from gopher.queue.moves import Queue
from gopher.server.event_loop import EventLoop

from .bounded_fetcher import BoundedFetcher
from .clock import ServerClock
from .declared_limits import DeclaredLimits
from .fetcher import Fetcher
from .inventory import Inventory
from .priority_cycle import PriorityCycle
from .rhythm import Rhythm
from .settler import Settler


@dataclass(slots=True, eq=False)
class QueueLease:
    """The state of our lease on a queue, separate for each since they may be on different nodes. Monotonic seconds."""

    #: When the last heartbeat was sent that has a reply. The server may have been unavailable before the first one.
    heard_at: float = float("-inf")
    #: Whether the last heartbeat has no reply yet.
    unanswered: bool = False
    #: Whether a heartbeat with this worker's id was confirmed.
    granted: bool = False
    #: When other workers will have sent heartbeats, too, after the server was unavailable.
    all_back_at: float = 0.0


@dataclass(slots=True, eq=False)
class ServedQueue:
    """A worker's objects for a queue."""

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
        handlers: Iterable[Handler],
        *,
        with_prelude: bool,
        spare: Callable[[], int] | None = None,
    ) -> Self:
        """Open a queue; `spare` returns how many more of its jobs the children may have, None without such a bound."""
        cycle = PriorityCycle(settings.worker_priority_weights)
        make = Fetcher if spare is None else partial(BoundedFetcher, spare=spare)
        fetcher = make(queue, event_loop, cycle, Rhythm.of_settings(settings), with_prelude=with_prelude)
        return cls(
            queue,
            fetcher,
            Settler(queue, fetcher.pipeline, clock, settings.worker_lease),
            Inventory(fetcher),
            DeclaredLimits(queue, fetcher.pipeline, handlers),
            QueueLease(),
        )

    @property
    def may_take(self) -> bool:
        """Whether jobs may be fetched from it.

        Not without a lease: a job of a blocking pop would be in an unknown list. Nor while many outcomes are rejected.
        """
        return self.lease.granted and not self.settler.delivery.full
