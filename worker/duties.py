"""The scheduler's essential duties, run by each worker at a low rate: without a scheduler, jobs are late, not stuck."""

import time
from collections.abc import Callable

from gopher.queue.moves import Queue
from gopher.queue.relay import Relay
from gopher.queue.replies import Rescued
from gopher.queue.rescuing import Rescues
from gopher.server.calls import Call
from gopher.server.pipeline import WAITED
from gopher.telemetry.logs import get_logger

from .lease import Lease
from .queue_side.served_queue import ServedQueue

log = get_logger("worker")

#: Seconds after the start until they are done first: only what is lost is left alone for longer.
FIRST_LOOK = 1.0
#: Maximum number of jobs of lost workers that are requeued per call.
RESCUED_AT_ONCE = 100
#: Seconds after which a worker delivers what no scheduler has: those do so at once, and do not wait for a blocking pop.
LEFT_FOR = 3.0
#: Seconds until the next attempt for a queue whose server may be unavailable.
PAUSE = 0.1


class QueueDuties:
    """The duties for a queue."""

    def __init__(self, served: ServedQueue, lease: Lease, relay: Relay, due_at: float) -> None:
        self._served = served
        self._relay = relay
        self._lease = lease
        #: When they are due (monotonic s).
        self.due_at = due_at
        self._rescues = Rescues(served.queue)

    def run(self, now: float) -> None:
        """Run them now, or a little later if the server may be unavailable: calls would accumulate, and be executed
        much later.
        """
        lease = self._served.lease
        if lease.unanswered or now - lease.heard_at > self._lease.seconds / 2:
            self.due_at = now + PAUSE
            return
        self.due_at = now + self._lease.seconds
        if now < lease.all_back_at:
            self.due_at = min(self.due_at, lease.all_back_at)
        # In one batch with the heartbeat: if the server is unavailable for longer than the lease right now, we are not
        # among the lost workers when it is back.
        self._lease.extend(self._served)
        queue, pipeline = self._served.queue, self._served.fetcher.pipeline
        pipeline.add(self._rescue(now), self._take_rescued)
        pipeline.add(queue.promote())
        pipeline.add(self._relay.call(left_for=LEFT_FOR), self._relay.take)
        pipeline.add(queue.sample())

    def _rescue(self, asked_at: float) -> Call:
        may_rescue = asked_at >= self._served.lease.all_back_at
        # No rescue if the call had to wait: leases have expired that could not be extended.
        return self._rescues.call(
            lambda: RESCUED_AT_ONCE if may_rescue and time.monotonic() - asked_at <= WAITED else 0
        )

    def _take_rescued(self, reply: Rescued | Exception) -> None:
        if isinstance(reply, Exception):
            return
        self._rescues.took(reply)
        if reply.workers or reply.returned:
            log.warning(
                "requeued jobs of lost workers", queue=self._served.name, jobs=reply.returned, workers=reply.workers
            )


class Duties:
    """The duties for all queues."""

    def __init__(self, lease: Lease, relay_of: Callable[[Queue], Relay]) -> None:
        self._lease = lease
        self._relay_of = relay_of
        self._duties: list[QueueDuties] = []
        #: When the next one is due (monotonic s).
        self.due_at = float("inf")

    def begin(self, queues: list[ServedQueue], now: float) -> None:
        self.due_at = now + FIRST_LOOK
        self._duties = [
            QueueDuties(served, self._lease, self._relay_of(served.queue), self.due_at) for served in queues
        ]

    def add(self, served: ServedQueue, now: float) -> None:
        """Have those of one more queue run, too."""
        self._duties.append(QueueDuties(served, self._lease, self._relay_of(served.queue), now + FIRST_LOOK))
        self.due_at = min(self.due_at, now + FIRST_LOOK)

    def run(self, now: float, horizon: float) -> None:
        """Run those that are due before the horizon."""
        for duties in self._duties:
            if horizon >= duties.due_at:
                duties.run(now)
        self.due_at = min(duties.due_at for duties in self._duties)
