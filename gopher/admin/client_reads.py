"""What a client shows: jobs, figures, workers, health."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gopher.base.names import canonical_id
from gopher.base.pauses import looks
from gopher.base.states import ENDED
from gopher.base.waiting import sleep
from gopher.config.settings import Settings
from gopher.interface.operation import takes
from gopher.jobs.lists import AuditFilter, CapacityFilter, JobFilter, Window
from gopher.queue.missing import no_such_job
from gopher.queue.store import Server

from .client_parts import ClientParts

if TYPE_CHECKING:
    from gopher.interface.results import Health, JobInput, Stats, Timeline, TypeStats
    from gopher.jobs.audit import AuditPage
    from gopher.jobs.capacity import Capacity
    from gopher.jobs.models import JobView, LogLine, Page, Reason, TypeView, WorkerView
    from gopher.jobs.registry import Registry
    from gopher.reads.jobs import Place


class ClientReads(ClientParts):
    """The part of `Client` that changes nothing.

    Each operation imports what it needs: programs that only submit jobs do not need it.
    """

    server: Server
    settings: Settings
    registry: "Registry | None"

    def job(self, job_id: str) -> "JobView":
        """Return a job. Raises JobNotFound."""
        view = self.inspector.job(job_id := canonical_id(job_id))
        if view is None:
            raise no_such_job(self.server, job_id)
        return view

    def wait(self, job_id: str, timeout: float | None = None) -> "JobView":
        """Return a job once it has finished, or after `timeout` seconds. Raises JobNotFound."""
        queue = self.inspector.find(job_id := canonical_id(job_id))
        if queue is None:
            raise no_such_job(self.server, job_id)
        until = None if timeout is None else time.monotonic() + timeout
        for pause in looks():
            state = self.inspector.state(queue, job_id)
            left = float("inf") if until is None else until - time.monotonic()
            if state is None or state in ENDED or left <= 0:
                break
            sleep(min(pause, left))
        return self.job(job_id)

    @takes(JobFilter)
    def jobs(self, asked: JobFilter) -> "Page":
        """Return a page of jobs, newest first."""
        return self._listing.jobs(asked)

    def job_input(self, job_id: str) -> "JobInput":
        """Return what a job's handler is given. Raises JobNotFound, JobConflict for a corrupt record."""
        return self.input_for(job_id)

    def input_for(self, job_id: str, may_see: "Callable[[Place], bool] | None" = None) -> "JobInput":
        """Return the same for a caller, without results of other jobs that it may not see."""
        from .inputs import every, read_input

        queue = self.inspector.find(job_id := canonical_id(job_id))
        found = queue and read_input(self.server, self.inspector, queue, job_id, may_see or every)
        if not found:
            raise no_such_job(self.server, job_id)
        return found

    def logs(self, job_id: str) -> "list[LogLine]":
        """Return the log of a job's attempts. Raises JobNotFound."""
        lines = self.inspector.logs(job_id := canonical_id(job_id))
        if lines is None:
            raise no_such_job(self.server, job_id)
        return lines

    def why(self, job_id: str) -> "list[Reason]":
        """Return why a job isn't running yet, most immediate reason first. Raises JobNotFound."""
        return self.why_for(job_id, sees_all=True)

    def why_for(self, job_id: str, *, sees_all: bool) -> "list[Reason]":
        """Return the same for a caller, whom the reasons tell of other jobs only if it `sees_all`."""
        reasons = self._explainer.why(job_id := canonical_id(job_id), sees_all=sees_all)
        if reasons is None:
            raise no_such_job(self.server, job_id)
        return reasons

    def stats(self) -> "Stats":
        return self.inspector.stats()

    @takes(Window)
    def timeline(self, asked: Window) -> "Timeline":
        """Return time series of a span such as the last hour. Raises InvalidJob."""
        from gopher.reads.timeline import timeline

        return timeline(self.server, asked.window, asked.queue)

    def type_stats(self, job_type: str, window: str | float = "1h", queue: str | None = None) -> "TypeStats":
        """Return the figures of a job type, and its points of a span such as the last hour. Raises InvalidJob."""
        from gopher.reads.type_stats import type_stats

        return type_stats(self.server, self.inspector, job_type, Window(window, queue))

    def workers(self) -> "list[WorkerView]":
        return self.inspector.workers()

    @takes(CapacityFilter)
    def capacity(self, asked: CapacityFilter) -> "Capacity":
        """Return how many processes and workers the jobs need to start in time. Raises InvalidJob."""
        from gopher.reads.capacity import capacity

        return capacity(self.server, self.inspector, asked)

    def types(self) -> "list[TypeView]":
        """Return the job types that are registered here."""
        from gopher.reads.job_types import describe

        return [describe(handler, self.settings) for handler in self.registry or ()]

    @takes(AuditFilter)
    def audit(self, asked: AuditFilter) -> "AuditPage":
        """Return a page of the audit trail, newest first. Raises InvalidJob."""
        from gopher.reads.audit import audit_page

        return audit_page(self.server, asked)

    def health(self) -> "Health":
        """Return the health of server, workers and scheduler. Raises a ServerError if the server is unavailable."""
        from gopher.reads.health import examine

        return examine(self.server)
