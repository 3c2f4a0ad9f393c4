"""The part of the interface for dead letters."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from typing import Any

from gopher.base.renamed import warn
from gopher.jobs import answers, filters
from gopher.jobs.fields import JobId
from gopher.jobs.job import State
from gopher.jobs.models import DeadLetterPage, GroupPage, RedriveView, StartedRedrive

from .operation import Operations, audited, operation, takes


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

    @audited
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


def _fields(which: filters.DeadFilter) -> dict[str, Any]:
    return {name: getattr(which, name) for name in filters.DeadFilter.__struct_fields__}
