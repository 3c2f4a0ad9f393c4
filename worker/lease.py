"""A worker's lease on the jobs in its hands: extended by heartbeats, lost when the server has not heard of it in time.

The lease is kept for each queue by itself: in a cluster each may lie on a node of its own.
"""

import time
from collections.abc import Mapping
from functools import partial

from gopher.queue.replies import Heartbeat
from gopher.queue.store import Server
from gopher.server.loop_connection import ALL_BACK
from gopher.telemetry.liveness import HealthFile
from gopher.telemetry.logs import bind, get_logger

from .crew import Crew
from .presence import Presence
from .queue_side.clock import ServerClock
from .queue_side.served_queue import ServedQueue
from .reports import report_running
from .worker_info import new_worker_id

log = get_logger("worker")

#: Seconds between two heartbeats while jobs run: how soon a cancel reaches them, at most.
BUSY_BEAT = 1.0
#: Share of the lease without an answer after which exclusive jobs are stopped.
EXCLUSIVE_SHARE = 0.8


class Lease:
    """Keeps the lease on all queues, under one id."""

    def __init__(
        self,
        server: Server,
        queues: Mapping[str, ServedQueue],
        crew: Crew,
        presence: Presence,
        clock: ServerClock,
        health: HealthFile,
    ) -> None:
        self._server = server
        self._queues = queues
        self._crew = crew
        self._presence = presence
        self._clock = clock
        self._health = health
        self.worker_id = new_worker_id()
        self.seconds = server.settings.worker_lease
        #: When the next heartbeat is due (monotonic s).
        self.beat_at = 0.0
        #: Heartbeats since a job ran.
        self._idle_beats = 0

    def begin(self) -> None:
        """Ask for a lease on each queue, and declare what this worker declares."""
        for served in self._queues.values():
            served.lease.granted = False
            self.extend(served)
            served.limits.declare()
        # Else a server that is emptied before the second beat would not be noticed.
        self._presence.look_for_mark()
        self._presence.show(self.worker_id)
        self.beat_at = 0.0

    def hurry(self, now: float) -> None:
        """Have a heartbeat sent within a second while jobs run, or when there is something new to show."""
        if self._presence.outdated or self._crew.busy():
            self.beat_at = min(self.beat_at, now + BUSY_BEAT)

    def beat(self, now: float) -> None:
        """Show that this worker lives, learn what to cancel, report what runs."""
        slow = self.seconds / 6
        self._idle_beats = 0 if self._crew.busy() else self._idle_beats + 1
        self.beat_at = now + (slow if self._idle_beats else min(BUSY_BEAT, slow))
        self._health.beat()
        # One at a time: while the server is away they would pile up.
        answering = [served for served in self._queues.values() if not served.lease.unanswered]
        for served in answering:
            self.extend(served)
            served.limits.declare_refused()
        report_running(self._crew.pool.children.values(), [served.fetcher for served in answering])
        if answering:
            # The record of an idle worker says the same each time: every other beat will do to keep it. What its last
            # jobs or a new child have changed is shown with the next one.
            if self._presence.outdated or not self._idle_beats or self._idle_beats % 2:
                self._presence.show(self.worker_id)
            self._presence.look_for_mark()

    def extend(self, served: ServedQueue) -> None:
        """Send a heartbeat for one queue."""
        served.lease.unanswered = True
        call = served.queue.heartbeat(self.worker_id, self.seconds, first=not served.lease.granted)
        served.fetcher.pipeline.add(call, partial(self._take_answer, served, self.worker_id))

    def _take_answer(self, served: ServedQueue, asked_as: str, reply: Heartbeat | Exception) -> None:
        served.lease.unanswered = False
        if asked_as != self.worker_id:
            return
        if isinstance(reply, Exception):
            log.error("the heartbeat was refused by the server", queue=served.name, error=str(reply))
        elif reply.lost:
            self.lose()
        else:
            self._take_extension(served, reply, time.monotonic())

    def _take_extension(self, served: ServedQueue, reply: Heartbeat, now: float) -> None:
        lease = served.lease
        lease.granted = True
        served.inventory.compare(reply.listed, lambda: self._tokens(served), self.worker_id)
        self._clock.set(reply.now)
        if now - lease.heard_at > self.seconds / 2:
            # The server was away: others may need a moment longer to show that they live.
            lease.all_back_at = now + min(self.seconds, ALL_BACK)
        lease.heard_at = now
        self._health.heard()
        self._crew.cancel(reply.cancelling, now)

    def _tokens(self, served: ServedQueue) -> list[str]:
        """Return the tokens of all jobs of a queue that are in our hands, from the fetch's reply to the outcome's."""
        in_hand = [*self._crew.in_hand(), *served.settler.held()]
        return [each.job.token for each in in_hand if each.queue == served.name and each.worker_id == self.worker_id]

    def unheard(self, now: float, seconds: float) -> set[str]:
        """Return the queues of which the server has not said for so long that the lease on them was extended."""
        return {served.name for served in self._queues.values() if now - served.lease.heard_at > seconds}

    def stop_exclusive(self, now: float) -> None:
        """Stop jobs that must never run twice at once where the lease may run out unseen."""
        queues = self.unheard(now, self.seconds * EXCLUSIVE_SHARE)
        if queues:
            self._crew.stop_exclusive(queues)

    def lose(self) -> None:
        """Our lease was taken away: others have our jobs. Drop them all and begin anew under another id."""
        log.warning("the lease was lost: this worker was not heard of in time; its jobs were given to others")
        self._crew.drop_all()
        self._presence.forget(self.worker_id)
        for served in self._queues.values():
            served.settler.delivery.lose(self.worker_id)
            served.inventory.forget()
        self.worker_id = new_worker_id()
        bind(worker=self.worker_id)
        for served in self._queues.values():
            served.fetcher.blocking_pop.close()
        self.begin()

    def resign(self) -> None:
        """Give the lease back; waits for the server."""
        try:
            for served in self._queues.values():
                if self._server.run(served.queue.resign(self.worker_id)) == "HOLDS":
                    log.warning("jobs were left behind; they are rescued when the lease runs out")
            self._presence.hide(self.worker_id)
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            log.warning("could not give the lease back", error=str(error))
