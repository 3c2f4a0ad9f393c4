"""The common interface of clients: each operation is declared here, and only here.

Two classes implement it: `Client` uses the server itself, `HttpClient` the API. `gopherctl` uses only this interface,
so that commands do the same either way. The API's routes, roles and document follow from it too.
"""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack

from gopher.base.renamed import warn
from gopher.jobs import answers, filters
from gopher.jobs.dry_run import DryRun
from gopher.jobs.fields import JobId, QueueName, ScheduleName, TypeName
from gopher.jobs.job import State
from gopher.jobs.limit import Limit
from gopher.jobs.models import (
    Accepted,
    DeadLetterPage,
    GroupPage,
    JobView,
    LimitView,
    LogLine,
    Page,
    PreviewRow,
    Reason,
    RedriveView,
    ScheduleView,
    StartedRedrive,
    Stats,
    TypeView,
    WorkerView,
)
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.submission import Batch, JobFields, Submission, SubmitOptions
from gopher.reads.health import Health
from gopher.reads.timeline import Timeline

from .operation import Operations, operation, takes

__all__ = ["DeadLettersInterface", "FlowInterface", "Gopher", "SchedulesInterface", "Stored"]


#: Error codes of submissions.
_SUBMITTING = ("unknown_type", "too_many_queues", "idempotency_mismatch")


class Stored(NamedTuple):
    """The result of a submission: the job's id, whether it is an earlier job with the same unique key, whether the
    whole request was a repeat; and status and priority of an earlier job."""

    job_id: str
    duplicate: bool = False
    replayed: bool = False
    status: str = ""
    priority: str = ""


class DeadLettersInterface(Operations):
    """Lists dead letters, retries or deletes them.

    The fields of a filter select them: all given ones must match.
    """

    part = "dead_letters"

    @operation("GET", "/api/v1/dlq", "read")
    @takes(filters.DeadListing)
    def page(self, asked: filters.DeadListing) -> DeadLetterPage:
        """List dead letters, newest first, and how many match in all."""

    @operation("GET", "/api/v1/dlq/groups", "read")
    @takes(filters.GroupFilter)
    def groups(self, asked: filters.GroupFilter) -> GroupPage:
        """Count dead letters by job type, error class and location, largest groups first."""

    @takes(filters.DeadFilter)
    def count(self, which: filters.DeadFilter) -> int:
        """Return how many dead letters match."""
        return self.page(**_fields(which), limit=1).total_count

    @operation(
        "POST",
        "/api/v1/dlq/<job_id>/retry",
        "admin",
        answers.JobStatus,
        "not_found",
        "conflict",
        fixed={"status": State.PENDING},
    )
    def retry(self, job_id: JobId) -> None:
        """Retry a dead letter, with the same id and history and a new set of attempts."""

    @operation(
        "POST",
        "/api/v1/dlq/retry-all",
        "admin",
        {200: answers.Count, 202: answers.RedriveStarted},
        body=filters.RetryAll,
        body_required=False,
        member="count",
    )
    @takes(filters.DeadSelection)
    def retry_all(self, which: filters.DeadSelection) -> int:
        """Retry matching dead letters, oldest first; return how many.

        Jobs that fail while it runs are left alone.
        """

    @takes(filters.RetryAll)
    def retry_gradually(self, which: filters.RetryAll) -> StartedRedrive:
        """Start a gradual redrive of the dead letters that match now; the scheduler continues it.

        `canary` of each queue go first. Once all of those have completed the rest follows, at a `rate` such as `5/s`;
        if one of them fails, the redrive is stopped. Raises InvalidJob, naming /canary, /rate or /group.
        """
        raise NotImplementedError

    @operation("GET", "/api/v1/dlq/redrives", "read", answers.Redrives, member="redrives")
    def redrives(self) -> list[RedriveView]:
        """List gradual redrives, including those that ended within the last day; latest first."""

    @operation(
        "POST", "/api/v1/dlq/redrives/<redrive_id>/stop", "admin", answers.RedriveStopped, "not_found", member="stopped"
    )
    def stop_redrive(self, redrive_id: str) -> bool:
        """Stop a gradual redrive; return whether it was still running. Jobs retried so far are left alone."""

    @operation("DELETE", "/api/v1/dlq/<job_id>", "admin", answers.Count, "not_found", "conflict", fixed={"count": 1})
    def discard(self, job_id: JobId) -> None:
        """Delete a dead letter permanently."""

    @operation("DELETE", "/api/v1/dlq", "admin", answers.Count, member="count")
    @takes(filters.DeadSelection)
    def discard_all(self, which: filters.DeadSelection) -> int:
        """Delete matching dead letters permanently, oldest first; return how many."""

    def retries(self) -> list[RedriveView]:
        """Deprecated: use `redrives`."""
        warn("dead_letters.retries", "redrives")
        return self.redrives()

    def stop_retry(self, retry_id: str) -> bool:
        """Deprecated: use `stop_redrive`."""
        warn("dead_letters.stop_retry", "stop_redrive")
        return self.stop_redrive(retry_id)


class FlowInterface(Operations):
    """Limits and pauses."""

    part = "flow"

    @operation("GET", "/api/v1/limits", "read", answers.LimitsView, member="limits")
    def limits(self) -> list[LimitView]:
        """List the types that are limited, paused or throttled, by queue and type."""

    @operation("PUT", "/api/v1/limits/<job_type>", "admin", answers.LimitSet, "unknown_type", body=filters.LimitRequest)
    def set_limit(self, job_type: TypeName, rate: str | None, burst: float | None, concurrency: int | None) -> Limit:
        """Limit the rate and the concurrency of a job type, in each queue across all workers."""

    @operation("DELETE", "/api/v1/limits/<job_type>", "admin", answers.LimitCleared, member="cleared")
    def clear_limit(self, job_type: TypeName) -> bool:
        """Clear a type's limit; return whether it was limited. The limit that its handler declares applies again."""

    @operation(
        "POST", "/api/v1/queues/<queue>/pause", "admin", answers.QueuePaused, "too_many_queues",
        member="changed", fixed={"paused": True},
    )  # fmt: skip
    def pause_queue(self, queue: QueueName) -> bool:
        """Pause a queue: no new jobs start; running jobs finish. Return whether it was not paused before."""

    @operation(
        "POST", "/api/v1/queues/<queue>/resume", "admin", answers.QueuePaused,
        member="changed", fixed={"paused": False},
    )  # fmt: skip
    def resume_queue(self, queue: QueueName) -> bool:
        """Resume a paused queue; return whether it was paused."""

    @operation(
        "POST", "/api/v1/types/<job_type>/pause", "admin", answers.TypePaused,
        member="changed", fixed={"paused": True},
    )  # fmt: skip
    def pause_type(self, job_type: TypeName) -> bool:
        """Pause a job type in all queues: no new jobs start; running jobs finish.

        Return whether it was not paused before.
        """

    @operation(
        "POST", "/api/v1/types/<job_type>/resume", "admin", answers.TypePaused,
        member="changed", fixed={"paused": False},
    )  # fmt: skip
    def resume_type(self, job_type: TypeName) -> bool:
        """Resume a paused job type; return whether it was paused."""


class SchedulesInterface(Operations):
    """The schedules of an installation."""

    part = "schedules"

    @operation(
        "PUT", "/api/v1/schedules/<name>", "admin", {200: ScheduleView, 201: ScheduleView},
        "unknown_type", "too_many_queues", body=ScheduleSpec,
    )  # fmt: skip
    def put(self, name: ScheduleName, spec: ScheduleSpec) -> tuple[ScheduleView, str]:
        """Create or replace a schedule; return it, and CREATED, REPLACED or UNCHANGED."""

    @operation("GET", "/api/v1/schedules/<name>", "read", None, "not_found")
    def get(self, name: ScheduleName) -> ScheduleView:
        """Show a schedule."""

    @operation("GET", "/api/v1/schedules", "read", answers.SchedulesView, member="schedules")
    def all(self) -> list[ScheduleView]:
        """List the schedules by name."""

    @operation("DELETE", "/api/v1/schedules/<name>", "admin", answers.Deleted, "not_found", fixed={"deleted": True})
    def delete(self, name: ScheduleName) -> None:
        """Delete a schedule. Jobs that it has created are kept."""

    @operation("POST", "/api/v1/schedules/<name>/pause", "admin", None, "not_found")
    def pause(self, name: ScheduleName) -> ScheduleView:
        """Pause a schedule: it creates no jobs until it is resumed."""

    @operation("POST", "/api/v1/schedules/<name>/resume", "admin", None, "not_found")
    def resume(self, name: ScheduleName) -> ScheduleView:
        """Resume a paused schedule from its next time on; times missed during the pause are not made up."""

    @operation(
        "GET", "/api/v1/schedules/<name>/preview", "read", answers.Preview, "not_found",
        query=filters.PreviewSize, member="times",
    )  # fmt: skip
    def preview(self, name: ScheduleName, count: int) -> list[PreviewRow]:
        """Show the next times of a schedule, with changes of daylight saving time marked."""


class Gopher(Operations):
    """The complete interface."""

    dead_letters: DeadLettersInterface
    flow: FlowInterface
    schedules: SchedulesInterface

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

    def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]:
        """Submit many jobs, each `{"type": ..., "payload": ..., ...}`, and return their ids in order."""
        raise NotImplementedError

    @operation("POST", "/api/v1/jobs", "submit", {201: Accepted}, *_SUBMITTING, body=Submission)
    def submit(self, submission: Submission) -> Accepted:
        """Submit a job and return its details."""

    @operation("POST", "/api/v1/jobs/batch", "submit", {201: answers.BatchAccepted}, *_SUBMITTING, body=Batch)
    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]:
        """Submit jobs as JSON in the API's format, all or none.

        Repeating the same entries with the same key within 24 h stores nothing and returns the first result.
        """

    def dry_run_submission(self, submission: Submission) -> DryRun:
        """Return what would happen to a submission, without storing it. Raises InvalidJob."""
        raise NotImplementedError

    def rehearse_submission(self, submission: Submission) -> DryRun:
        """Deprecated: use `dry_run_submission`."""
        warn("rehearse_submission", "dry_run_submission")
        return self.dry_run_submission(submission)

    @operation("POST", "/api/v1/schedules/<name>/run", "admin", {201: answers.JobMade}, "not_found", member="job_id")
    def run_schedule(self, name: ScheduleName) -> str:
        """Enqueue a job of a schedule now, regardless of its next time; return its id."""

    # Looking

    @operation("GET", "/api/v1/jobs/<job_id>", "read", None, "not_found")
    def job(self, job_id: JobId) -> JobView:
        """Show a job."""

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Return a job once it has finished, or after `timeout` seconds. Raises JobNotFound."""
        raise NotImplementedError

    @operation("GET", "/api/v1/jobs", "read")
    @takes(filters.JobFilter)
    def jobs(self, asked: filters.JobFilter) -> Page:
        """List jobs, newest first."""

    @operation("GET", "/api/v1/jobs/<job_id>/logs", "read", answers.Logs, "not_found", member="lines")
    def logs(self, job_id: JobId) -> list[LogLine]:
        """Show the log and output of a job's attempts."""

    @operation("GET", "/api/v1/jobs/<job_id>/why", "read", answers.Why, "not_found", member="reasons")
    def why(self, job_id: JobId) -> list[Reason]:
        """Explain why a job isn't running yet, most immediate reason first."""

    @operation("GET", "/api/v1/queue/stats", "read")
    def stats(self) -> Stats:
        """Show statistics of all queues."""

    @operation("GET", "/api/v1/timeline", "read")
    @takes(filters.Window)
    def timeline(self, asked: filters.Window) -> Timeline:
        """Show throughput and latencies over the last hour, day or month, in steps."""

    @operation("GET", "/api/v1/workers", "read", answers.Workers, member="workers")
    def workers(self) -> list[WorkerView]:
        """List the live workers and what they are running."""

    @operation("GET", "/api/v1/jobs/types", "read", answers.JobTypes, member="types")
    def types(self) -> list[TypeView]:
        """List the job types with their payload schemas."""

    @operation("GET", "/health", None)
    def health(self) -> Health:
        """Show the state of server, workers and scheduler."""

    # Acting

    @operation(
        "POST", "/api/v1/jobs/<job_id>/cancel", "admin", {200: answers.JobStatus, 202: answers.JobStatus},
        "not_found", "conflict", member="status",
    )  # fmt: skip
    def cancel(self, job_id: JobId) -> str:
        """Cancel a job: return `cancelled`, or `processing` while its process is being stopped."""

    @operation("DELETE", "/api/v1/queues/<queue>", "admin", answers.Count, query=filters.Purge, member="count")
    def purge(self, queue: QueueName, state: str, progress: Callable[[int], None] = lambda count: None) -> int:
        """Delete all jobs of a queue in a given state (pending, scheduled, retrying, failed); return how many.

        Jobs that become pending meanwhile are kept. Over HTTP no progress is reported.
        """


def _fields(which: filters.DeadFilter) -> dict[str, Any]:
    return {name: getattr(which, name) for name in filters.DeadFilter.__struct_fields__}
