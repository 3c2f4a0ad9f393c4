"""The scheduler's most needed duties, done slowly by each worker: without one, jobs come late but never strand."""

import time

from gopher.queue.replies import Rescued
from gopher.server.calls import Call
from gopher.server.pipeline import WAITED
from gopher.telemetry.logs import get_logger

from .lease import Lease
from .queue_side.served_queue import ServedQueue

log = get_logger("worker")

#: Seconds after the start until the first look at what others have left behind, which need not wait a whole period.
FIRST_LOOK = 1.0
#: Jobs of lost workers that are given back in one look.
RESCUED_AT_ONCE = 100
#: Seconds until the next try at a queue whose server may be away.
PAUSE = 0.1


class QueueDuties:
    """Those for one queue."""

    def __init__(self, served: ServedQueue, lease: Lease, due_at: float) -> None:
        self._served = served
        self._lease = lease
        self._due_at = due_at
        #: The server's now (ms) in the answer to the last rescue, and when that came (monotonic s).
        self._last_now: int | None = None
        self._looked_at = 0.0

    @property
    def due_at(self) -> float:
        """When they are due (monotonic s): other workers may need a moment longer to show that they live."""
        return max(self._due_at, self._served.lease.all_back_at)

    def run(self, now: float) -> None:
        """Do them now, or a moment later when the server may be away.

        What is asked of it now would then be done long after, and pile up. Or it refuses heartbeats: once it takes them
        again, others may need a moment longer than we do to send theirs.
        """
        lease = self._served.lease
        if lease.unanswered or now - lease.heard_at > self._lease.seconds / 2:
            self._due_at = now + PAUSE
            return
        self._due_at = now + self._lease.seconds
        # In one batch with it: should the server be away for longer than the lease just now, we do not find ourselves
        # among the lost when it is back.
        self._lease.extend(self._served)
        queue, pipeline = self._served.queue, self._served.fetcher.pipeline
        pipeline.add(self._rescue(now), self._take_rescued)
        pipeline.add(queue.promote())
        pipeline.add(queue.sample())

    def _rescue(self, asked_at: float) -> Call:
        looked_at = self._looked_at
        # Nobody, when this had to wait: leases have run out that nobody could extend.
        return self._served.queue.rescue(
            self._last_now,
            lambda: time.monotonic() - looked_at,
            lambda: RESCUED_AT_ONCE if time.monotonic() - asked_at <= WAITED else 0,
        )

    def _take_rescued(self, reply: Rescued | Exception) -> None:
        if isinstance(reply, Exception) or reply.step is not None:
            self._last_now = None
            return
        # When the answer came, not when we asked: it may have waited long for a server that was away.
        self._last_now, self._looked_at = reply.now, time.monotonic()
        if reply.workers or reply.returned:
            log.warning(
                "jobs of lost workers went back", queue=self._served.name, jobs=reply.returned, workers=reply.workers
            )


class Duties:
    """Those for all queues."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._duties: list[QueueDuties] = []
        #: When the next one is due (monotonic s).
        self.due_at = float("inf")

    def begin(self, queues: list[ServedQueue], now: float) -> None:
        self.due_at = now + FIRST_LOOK
        self._duties = [QueueDuties(served, self._lease, self.due_at) for served in queues]

    def run(self, now: float) -> None:
        """Do those that are due."""
        for duties in self._duties:
            if now >= duties.due_at:
                duties.run(now)
        self.due_at = min(duties.due_at for duties in self._duties)
