"""A worker's lease on its jobs: extended by heartbeats, and lost if they are late.

There is a separate lease for each queue, since in a cluster each may be on a different node.
"""

import time
from collections.abc import Mapping
from functools import partial

from gopher.queue.replies import Heartbeat
from gopher.queue.store import Server
from gopher.server.calls import TimedCall
from gopher.server.loop_connection import ALL_BACK
from gopher.telemetry.liveness import HealthFile
from gopher.telemetry.logs import bind, get_logger

from .commands import Commands
from .crew import Crew
from .presence import Presence
from .queue_side.clock import ServerClock
from .queue_side.rhythm import Rhythm
from .queue_side.served_queue import ServedQueue
from .reports import report_running
from .worker_info import new_worker_id

log = get_logger("worker")

#: Seconds between two heartbeats while jobs are running, which is the maximum delay of a cancellation.
BUSY_BEAT = 1.0
#: Heartbeats after its last job until a worker counts as quiet.
QUIET_AFTER = 2
#: Fraction of the lease without a reply after which exclusive jobs are stopped.
EXCLUSIVE_SHARE = 0.8


class Lease:
    """Maintains the leases on all queues, with one id."""

    def __init__(
        self,
        server: Server,
        queues: Mapping[str, ServedQueue],
        crew: Crew,
        presence: Presence,
        clock: ServerClock,
        health: HealthFile,
        commands: Commands,
    ) -> None:
        self._server = server
        self._queues = queues
        self._crew = crew
        self._presence = presence
        self._clock = clock
        self._health = health
        self._commands = commands
        self.worker_id = new_worker_id()
        self.seconds = server.settings.worker_lease
        #: When the next heartbeat is due (monotonic s).
        self.beat_at = 0.0
        self._rhythm = Rhythm.of_settings(server.settings)
        #: Heartbeats since children were last busy, and since there was anything to report; a new worker is quiet.
        self._idle_beats, self._quiet_beats = 0, QUIET_AFTER

    def begin(self) -> None:
        """Request a lease on each queue, and send this worker's declarations."""
        self._presence.begin(self.worker_id)
        for served in self._queues.values():
            self.begin_with(served)
        # Otherwise a server that is emptied before the second heartbeat would not be noticed.
        self._presence.look_for_mark()
        self._presence.show(self.worker_id)
        self.beat_at = 0.0

    def begin_with(self, served: ServedQueue) -> None:
        """Request a lease on a queue, and send the limits that handlers declare for it."""
        served.lease.granted = False
        self.extend(served)
        served.limits.declare()

    def hurry(self, now: float) -> None:
        """Schedule a heartbeat within a second while jobs are running, or if the record has changed."""
        if self._presence.outdated or self._crew.busy():
            self.beat_at = min(self.beat_at, now + BUSY_BEAT)

    @property
    def is_quiet(self) -> bool:
        """Whether the worker has been idle for a while."""
        return self._quiet_beats >= QUIET_AFTER and not (self._presence.outdated or self._crew.busy())

    def beat(self, now: float) -> None:
        """Extend the lease, receive cancellations, report on running jobs."""
        slow = self._rhythm.beat
        self._quiet_beats = 0 if self._presence.outdated or self._crew.busy() else self._quiet_beats + 1
        self._idle_beats = 0 if self._crew.busy() else self._idle_beats + 1
        self.beat_at = now + (slow if self._idle_beats else min(BUSY_BEAT, slow))
        self._health.beat()
        # One at a time: while the server is unavailable they would accumulate.
        answering = [served for served in self._queues.values() if not served.lease.unanswered]
        for served in answering:
            self.extend(served)
            served.limits.declare_refused()
        report_running(self._crew.pool.children.values(), [served.fetcher for served in answering])
        if answering:
            # The record of an idle worker does not change, so every other heartbeat is enough to keep it. Changes by
            # its last jobs or a new child are written with the next one.
            if self._presence.outdated or not self._idle_beats or self._idle_beats % 2:
                self._presence.show(self.worker_id)
            self._presence.announce(self.worker_id)
            self._presence.look_for_mark()

    def extend(self, served: ServedQueue) -> None:
        """Send a heartbeat for one queue."""
        served.lease.unanswered = True
        call = TimedCall(*served.queue.heartbeat(self.worker_id, self.seconds, first=not served.lease.granted))
        served.fetcher.pipeline.add(call, partial(self._take_answer, served, call, self.worker_id))

    def _take_answer(self, served: ServedQueue, call: TimedCall, asked_as: str, reply: Heartbeat | Exception) -> None:
        served.lease.unanswered = False
        if asked_as != self.worker_id:
            return
        if isinstance(reply, Exception):
            log.error("the server rejected a heartbeat", queue=served.name, error=str(reply))
        elif reply.lost:
            self.lose()
        else:
            self._take_extension(served, reply, call.sent_at, time.monotonic())

    def _take_extension(self, served: ServedQueue, reply: Heartbeat, sent_at: float, now: float) -> None:
        lease = served.lease
        lease.granted = True
        served.inventory.compare(reply.listed, lambda: self._tokens(served), self.worker_id)
        self._clock.set(reply.now)
        if now - lease.heard_at > self.seconds / 2:
            # The server was unavailable: other workers may need a little longer to send their heartbeats.
            lease.all_back_at = now + min(self.seconds, ALL_BACK)
        # The reply may have been read late: the lease began when the server executed the heartbeat, if not earlier.
        lease.heard_at = sent_at
        self._health.heard()
        self._crew.cancel(reply.cancelling, now)
        for running in self._crew.take_held(reply.cancelling) if reply.cancelling else ():
            # Requeuing ends it.
            served.settler.requeue(running)
        self._commands.take(reply.commands, served.name)

    def _tokens(self, served: ServedQueue) -> list[str]:
        """Return the tokens of all jobs of a queue that we hold, from the fetch to the confirmed outcome."""
        in_hand = [*self._crew.in_hand(), *served.settler.held()]
        return [each.job.token for each in in_hand if each.queue == served.name and each.worker_id == self.worker_id]

    def unheard(self, now: float, seconds: float) -> set[str]:
        """Return the queues whose lease extension was not confirmed for the given time."""
        return {served.name for served in self._queues.values() if now - served.lease.heard_at > seconds}

    def stop_exclusive(self, now: float) -> None:
        """Stop exclusive jobs of queues whose lease may expire unnoticed."""
        queues = self.unheard(now, self.seconds * EXCLUSIVE_SHARE)
        if queues:
            self._crew.stop_exclusive(queues)

    def lose(self) -> None:
        """Handle a lost lease: other workers have our jobs. Drop all of them and start over with a new id."""
        log.warning("the lease was lost because heartbeats were late; the jobs were requeued")
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
        """Give up the lease; waits for the server."""
        try:
            for served in self._queues.values():
                if self._server.run(served.queue.resign(self.worker_id)) == "HOLDS":
                    log.warning("jobs were left behind; they are rescued when the lease expires")
            self._presence.hide(self.worker_id)
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            log.warning("could not release the lease", error=str(error))
