"""The part of the interface for workers: what operators tell them from afar, and ask of them."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from gopher.jobs import answers, filters
from gopher.jobs.fields import JobId, WorkerId
from gopher.jobs.stack import StackView

from .operation import Operations, operation, takes


class FleetInterface(Operations):
    """Tells workers to be quiet or to stop, and shows what running jobs are doing.

    Each worker obeys with its next heartbeat: within a second while it runs jobs, else within a sixth of WORKER_LEASE.
    """

    part = "fleet"

    @operation(
        "POST", "/api/v1/workers/<worker_id>/quiet", "admin", {202: answers.WorkersTold}, "not_found", member="workers"
    )
    def quiet(self, worker_id: WorkerId) -> list[str]:
        """Let a worker fetch no more jobs and finish those that it runs; return its id."""

    @operation(
        "POST", "/api/v1/workers/<worker_id>/stop", "admin", {202: answers.WorkersTold}, "not_found", member="workers"
    )
    def stop(self, worker_id: WorkerId) -> list[str]:
        """Let a worker finish its jobs and exit, like SIGTERM; return its id.

        Jobs that take longer than WORKER_SHUTDOWN_TIMEOUT are requeued. With `quiet` first, none is interrupted.
        """

    @operation(
        "POST", "/api/v1/workers/quiet", "admin", {202: answers.WorkersTold}, query=filters.WorkerFilter,
        member="workers", spans_queues=True,
    )  # fmt: skip
    @takes(filters.WorkerFilter)
    def quiet_all(self, which: filters.WorkerFilter) -> list[str]:
        """Let workers fetch no more jobs: all, those of a host, or those that serve a queue; return their ids."""

    @operation(
        "POST", "/api/v1/workers/stop", "admin", {202: answers.WorkersTold}, query=filters.WorkerFilter,
        member="workers", spans_queues=True,
    )  # fmt: skip
    @takes(filters.WorkerFilter)
    def stop_all(self, which: filters.WorkerFilter) -> list[str]:
        """Let workers finish their jobs and exit: all, those of a host, or those that serve a queue; return their ids.

        Whatever has started them, such as systemd or Heroku, may start others.
        """

    @operation("GET", "/api/v1/jobs/<job_id>/stack", "admin", None, "not_found", "conflict")
    def stack(self, job_id: JobId) -> StackView:
        """Show where a running job is in its code, even within C code: the stacks of its process.

        Takes up to a second. The job runs on.
        """
