"""The part of the interface for jobs that wait: run, move, copy, and cancel many."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from gopher.base.states import State
from gopher.jobs.acting import (
    CancelFilter,
    Cancellations,
    CancellationStopped,
    CancellationView,
    Copied,
    Copy,
    Move,
    Moved,
    StartedCancellation,
)
from gopher.jobs.answers import JobStatus
from gopher.jobs.fields import JobId

from .operation import OF_QUEUES, Operations, operation, takes


class WaitingInterface(Operations):
    """Acts on jobs that wait."""

    part = "waiting"

    @operation(
        "POST", "/api/v1/jobs/<job_id>/run", "admin", JobStatus, "not_found", "conflict",
        fixed={"status": State.PENDING}, for_owner=True, action="jobs.run",
    )  # fmt: skip
    def run(self, job_id: JobId) -> None:
        """Run a job now that is scheduled, waits for a retry, or is throttled: it is the next of its priority.

        A limit or a pause still holds; the job is then the first of its type to start.
        """

    @operation(
        "POST", "/api/v1/jobs/<job_id>/move", "admin", Moved, "not_found", "conflict", *OF_QUEUES,
        body=Move, for_owner=True, action="jobs.move",
    )  # fmt: skip
    def move(self, job_id: JobId, queue: str | None = None, priority: str | None = None) -> Moved:
        """Move a waiting job to another queue or priority. It goes behind those that wait there, with the same id."""

    @operation(
        "POST", "/api/v1/jobs/<job_id>/copy", "admin", {201: Copied}, "not_found", "conflict", "unknown_type",
        *OF_QUEUES, "queue_limit", "not_replicated",
        body=Copy, body_required=False, member="job_id", for_owner=True, action="jobs.copy",
    )  # fmt: skip
    def copy(self, job_id: JobId, payload: object = None, queue: str | None = None, priority: str | None = None) -> str:
        """Submit a copy of a job in any state, optionally with another payload; return the id of the copy.

        It has the same options and owner, but no unique key and no expiry, and waits for no time and no other jobs.
        """

    @operation("POST", "/api/v1/jobs/cancel", "admin", {202: StartedCancellation}, action="jobs.cancel_matching")
    @takes(CancelFilter)
    def cancel_matching(self, which: CancelFilter) -> StartedCancellation:
        """Start to cancel all jobs that match a filter now; the scheduler continues it.

        Running jobs are stopped only if `status` is processing.
        """

    @operation("GET", "/api/v1/jobs/cancellations", "read", Cancellations, member="cancellations")
    def cancellations(self) -> list[CancellationView]:
        """List cancellations of many jobs, including those that ended within the last day; latest first."""

    @operation(
        "POST", "/api/v1/jobs/cancellations/<cancellation_id>/stop", "admin", CancellationStopped, "not_found",
        member="stopped", action="jobs.stop_cancellation",
    )  # fmt: skip
    def stop_cancellation(self, cancellation_id: str) -> bool:
        """Stop a cancellation; return whether it was still running. Jobs cancelled so far stay cancelled."""
