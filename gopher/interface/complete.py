"""The complete interface: submitting and reading, and its parts."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from gopher.base.renamed import warn
from gopher.jobs.fields import JobId, QueueName, ScheduleName, TypeName
from gopher.jobs.lists import AuditFilter, CapacityFilter, JobFilter, Purge, Window
from gopher.jobs.submission import Batch, JobFields, Submission, SubmitOptions

from .operation import OF_QUEUES, Operations, operation, takes
from .stored import Stored
from .submissions import STORING, SUBMISSIONS

if TYPE_CHECKING:
    from .batches import BatchesInterface, OpenBatch
    from .dead_letters import DeadLettersInterface
    from .files import FilesInterface
    from .fleet import FleetInterface
    from .flow import FlowInterface
    from .keys import KeysInterface
    from .results import (
        Accepted,
        AuditPage,
        Capacity,
        DryRun,
        Health,
        JobInput,
        JobView,
        LogLine,
        Page,
        Reason,
        Stats,
        Timeline,
        TypeStats,
        TypeView,
        WorkerView,
    )
    from .schedules import SchedulesInterface
    from .waiting import WaitingInterface
    from .webhooks import WebhooksInterface

#: Error codes of submissions, which are not audited: each job has its owner.
_SUBMITTING = (
    "unknown_type",
    "no_worker",
    "duplicate",
    *OF_QUEUES,
    "idempotency_mismatch",
    "job_id_taken",
    "queue_limit",
    "not_replicated",
)


class Gopher(Operations):
    """The complete interface."""

    dead_letters: "DeadLettersInterface"
    flow: "FlowInterface"
    schedules: "SchedulesInterface"
    batches: "BatchesInterface"
    keys: "KeysInterface"
    fleet: "FleetInterface"
    webhooks: "WebhooksInterface"
    files: "FilesInterface"
    waiting: "WaitingInterface"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError

    # Submitting

    def enqueue(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
        """Submit a job and return its id. `options` are the fields of a submission.

        Raises InvalidJob for an invalid submission, a ServerError when it can't be stored.
        """
        raise NotImplementedError

    def batch(self, **options: Any) -> "OpenBatch":
        """Return a batch for a `with` block, which seals it: `with client.batch(on_complete=...) as batch`.

        `options` are those of `NewBatch`; callbacks are `{"type": ..., "payload": ..., ...}`.
        """
        from gopher.jobs.batch import new_batch

        from .batches import OpenBatch

        return OpenBatch(self, new_batch(**options))

    def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]:
        """Submit many jobs, each `{"type": ..., "payload": ..., ...}`, and return their ids in order."""
        raise NotImplementedError

    @operation(
        "POST", "/api/v1/jobs", "submit", {201: "Accepted"}, *_SUBMITTING, *STORING,
        body=Submission, sends=SUBMISSIONS, audited=False,
    )  # fmt: skip
    def submit(self, submission: Submission) -> "Accepted":
        """Submit a job and return its details."""

    @operation("POST", "/api/v1/jobs/batch", "submit", {201: "BatchAccepted"}, *_SUBMITTING, body=Batch, audited=False)
    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]:
        """Submit jobs as JSON in the API's format, all or none.

        Repeating the same entries with the same key within 24 h stores nothing and returns the first result.
        """

    def dry_run_submission(self, submission: Submission) -> "DryRun":
        """Return what would happen to a submission, without storing it. Raises InvalidJob."""
        raise NotImplementedError

    def rehearse_submission(self, submission: Submission) -> "DryRun":
        """Deprecated: use `dry_run_submission`."""
        warn("rehearse_submission", "dry_run_submission")
        return self.dry_run_submission(submission)

    @operation(
        "POST", "/api/v1/schedules/<name>/run", "admin", {201: "JobMade"}, "not_found", "queue_limit",
        "not_replicated", member="job_id", action="schedules.run",
    )  # fmt: skip
    def run_schedule(self, name: ScheduleName) -> str:
        """Enqueue a job of a schedule now, regardless of its next time; return its id."""

    # Looking

    @operation("GET", "/api/v1/jobs/<job_id>", "read", None, "not_found", for_owner=True)
    def job(self, job_id: JobId) -> "JobView":
        """Show a job."""

    def wait(self, job_id: str, timeout: float | None = None) -> "JobView":
        """Return a job once it has finished, or after `timeout` seconds. Raises JobNotFound."""
        raise NotImplementedError

    @operation("GET", "/api/v1/jobs", "read")
    @takes(JobFilter)
    def jobs(self, asked: JobFilter) -> "Page":
        """List jobs, newest first."""

    @operation("GET", "/api/v1/jobs/<job_id>/logs", "read", "Logs", "not_found", member="lines", for_owner=True)
    def logs(self, job_id: JobId) -> "list[LogLine]":
        """Show the log and output of a job's attempts."""

    @operation("GET", "/api/v1/jobs/<job_id>/input", "read", None, "not_found", "conflict", for_owner=True)
    def job_input(self, job_id: JobId) -> "JobInput":
        """Show what a job's handler is given: payload, results of parents, files. To run it elsewhere."""

    @operation("GET", "/api/v1/jobs/<job_id>/why", "read", "Why", "not_found", member="reasons", for_owner=True)
    def why(self, job_id: JobId) -> "list[Reason]":
        """Explain why a job isn't running yet, most immediate reason first."""

    @operation("GET", "/api/v1/queue/stats", "read")
    def stats(self) -> "Stats":
        """Show statistics of all queues."""

    @operation("GET", "/api/v1/timeline", "read")
    @takes(Window)
    def timeline(self, asked: Window) -> "Timeline":
        """Show throughput and latencies over the last hour, day or month, in steps."""

    @operation("GET", "/api/v1/types/<job_type>/stats", "read", query=Window)
    def type_stats(self, job_type: TypeName, window: str | float = "1h", queue: str | None = None) -> "TypeStats":
        """Show what is known of a job type: counts, latencies, CPU time and memory, failures, slowest jobs."""

    @operation("GET", "/api/v1/workers", "read", "Workers", member="workers")
    def workers(self) -> "list[WorkerView]":
        """List the live workers and what they are running."""

    @operation("GET", "/api/v1/capacity", "read")
    @takes(CapacityFilter)
    def capacity(self, asked: CapacityFilter) -> "Capacity":
        """Show how many processes and workers the jobs need to start in time, now and in each hour of the week."""

    @operation("GET", "/api/v1/jobs/types", "read", "JobTypes", member="types", is_about_no_jobs=True)
    def types(self) -> "list[TypeView]":
        """List the job types with their payload schemas."""

    @operation("GET", "/api/v1/audit", "admin")
    @takes(AuditFilter)
    def audit(self, asked: AuditFilter) -> "AuditPage":
        """List what operators have done, and attempts that were refused, newest first."""

    @operation("GET", "/health", None)
    def health(self) -> "Health":
        """Show the state of server, workers and scheduler."""

    # Acting

    @operation(
        "POST", "/api/v1/jobs/<job_id>/cancel", "admin", {200: "JobStatus", 202: "JobStatus"},
        "not_found", "conflict", member="status", for_owner=True, action="jobs.cancel",
    )  # fmt: skip
    def cancel(self, job_id: JobId) -> str:
        """Cancel a job: return `cancelled`, or `processing` while its process is being stopped."""

    @operation(
        "DELETE",
        "/api/v1/queues/<queue>",
        "admin",
        "Count",
        query=Purge,
        member="count",
        action="queues.purge",
    )
    def purge(self, queue: QueueName, state: str, progress: Callable[[int], None] = lambda count: None) -> int:
        """Delete all jobs of a queue in a given state (pending, scheduled, retrying, failed); return how many.

        Jobs that become pending meanwhile are kept. Over HTTP no progress is reported.
        """
