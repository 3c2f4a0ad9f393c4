"""Shutdown of a worker.

First stop fetching. Then requeue jobs that no child has started, so that other workers can start them immediately. Then
let the children finish, and requeue the jobs of those that do not finish in time. Finally the outcomes have to reach
the server, before the lease is given up.
"""

import time
from collections.abc import Mapping

from gopher.server.event_loop import EventLoop
from gopher.telemetry.logs import get_logger

from .crew import Crew
from .queue_side.served_queue import ServedQueue
from .worker_info import WorkerInfo

log = get_logger("worker")

#: Seconds for the last outcomes to reach the server once all children have stopped.
LAST_WORDS = 5.0


class Shutdown:
    """The state of the shutdown."""

    def __init__(
        self,
        crew: Crew,
        queues: Mapping[str, ServedQueue],
        event_loop: EventLoop,
        info: WorkerInfo,
        timeout: float,
    ) -> None:
        self._crew = crew
        self._queues = queues
        self._event_loop = event_loop
        self._info = info
        self._timeout = timeout
        #: When running jobs are stopped (monotonic s); None until the shutdown starts.
        self._stop_by: float | None = None
        #: When they were stopped (monotonic s): later than that if the process was starved or frozen.
        self._stopped_at: float | None = None
        #: Whether the worker exits although some outcomes have not reached the server.
        self.gave_up = False

    def be_quiet(self) -> None:
        """Fetch no more jobs."""
        self._crew.quiet = True
        self._crew.offer_held()
        self._info.change_state("quiet")
        for served in self._queues.values():
            served.fetcher.blocking_pop.close()

    def stop(self) -> None:
        """Finish running jobs, and exit."""
        if self._stop_by is not None:
            return
        self.be_quiet()
        self._info.change_state("stopping")
        self._stop_by = time.monotonic() + self._timeout
        self._crew.take_back_all()
        log.info("stopping", running=sum(1 for child in self._crew.pool.children.values() if child.jobs))

    def stop_or_hurry(self) -> None:
        """Stop; the second time, without waiting for running jobs."""
        if self._stop_by is None:
            self.stop()
        else:
            self._stop_by = min(self._stop_by, time.monotonic())

    def enforce(self, now: float) -> None:
        """Stop the jobs that have not ended in time."""
        if self._stop_by is not None and now >= self._stop_by:
            self._crew.stop_all()
            self._stopped_at = now if self._stopped_at is None else self._stopped_at
            self.gave_up = self.gave_up or now > self._stopped_at + LAST_WORDS

    def wake_at(self) -> float:
        """Return when `enforce` is due (monotonic s). Its effects wake the event loop by themselves."""
        if self._stop_by is None:
            return float("inf")
        return self._stop_by if self._stopped_at is None else self._stopped_at + LAST_WORDS

    def done(self) -> bool:
        """Return whether nothing is left to wait for."""
        if self._stop_by is None:
            return False
        if self.gave_up:
            return True
        crew = self._crew
        if crew.busy() or crew.backlog or any(served.settler.waiting for served in self._queues.values()):
            return False
        # While the server is unavailable, don't wait for fetches: their jobs will be rescued.
        return (
            all(pipeline.idle or not pipeline.connection.reachable for pipeline in self._event_loop.pipelines)
            and not self._must_fetch()
        )

    def _must_fetch(self) -> bool:
        now = time.monotonic()
        reached = (each.fetcher for each in self._queues.values() if each.fetcher.pipeline.connection.reachable)
        return any(fetcher.asked_for or fetcher.expects(now) for fetcher in reached)
