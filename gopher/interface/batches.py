"""The part of the interface for batches, and a batch as a context manager."""
# A method that is declared as an operation has its body from the decorator.
# mypy: disable-error-code="empty-body"

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from gopher.errors import GopherError
from gopher.jobs.batch import BatchFilter, BatchJobsFilter, BatchJobsPage, BatchPage, BatchView, NewBatch
from gopher.jobs.fields import BatchId
from gopher.jobs.submission import JobFields, SubmitOptions

from .operation import OF_QUEUES, Operations, operation, takes

if TYPE_CHECKING:
    from .complete import Gopher


class BatchesInterface(Operations):
    """Batches: jobs in any queues that are counted together, and callbacks once they have ended."""

    part = "batches"

    @operation(
        "POST", "/api/v1/batches", "submit", {201: BatchView}, "unknown_type", *OF_QUEUES, body=NewBatch, audited=False
    )
    def create(self, batch: NewBatch) -> BatchView:
        """Create a batch. It takes jobs until it is sealed: submissions name it with `batch`."""

    @operation("GET", "/api/v1/batches", "read", spans_queues=True)
    @takes(BatchFilter)
    def page(self, asked: BatchFilter) -> BatchPage:
        """List batches, newest first."""

    @operation("GET", "/api/v1/batches/<batch_id>", "read", None, "not_found", for_owner=True)
    def get(self, batch_id: BatchId) -> BatchView:
        """Show a batch and its progress."""

    def wait(self, batch_id: str, timeout: float | None = None) -> BatchView:
        """Return a batch once all its jobs have ended, or after `timeout` seconds. Raises BatchNotFound."""
        raise NotImplementedError

    @operation(
        "GET", "/api/v1/batches/<batch_id>/jobs", "read", BatchJobsPage, "not_found",
        query=BatchJobsFilter, for_owner=True,
    )  # fmt: skip
    def jobs(
        self, batch_id: BatchId, status: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> BatchJobsPage:
        """List the jobs of a batch, in no particular order."""

    @operation(
        "POST", "/api/v1/batches/<batch_id>/seal", "admin", BatchView, "not_found", for_owner=True, audited=False
    )
    def seal(self, batch_id: BatchId) -> BatchView:
        """Seal a batch: it takes no more jobs, and its callbacks run once all that it has have ended."""

    @operation(
        "POST", "/api/v1/batches/<batch_id>/cancel", "admin", {202: BatchView}, "not_found", "conflict",
        for_owner=True,
    )  # fmt: skip
    def cancel(self, batch_id: BatchId) -> BatchView:
        """Cancel all jobs of a batch that have not ended, and seal it. The scheduler does it gradually."""

    @operation("POST", "/api/v1/batches/<batch_id>/retry", "admin", {202: BatchView}, "not_found", "conflict")
    def retry(self, batch_id: BatchId) -> BatchView:
        """Retry all failed jobs of a batch. The scheduler does it gradually."""


class OpenBatch:
    """A batch that takes jobs until the end of a `with` block, which seals it. If the block raises, it is cancelled."""

    def __init__(self, client: "Gopher", new: NewBatch) -> None:
        self._client = client
        self._new = new
        #: Its id, inside the block.
        self.id = ""

    def __enter__(self) -> Self:
        self.id = self._client.batches.create(self._new).batch_id
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.seal()
            return
        try:
            self._client.batches.cancel(self.id)
        except GopherError as failed:
            error.add_note(f"the batch {self.id} could not be cancelled: {failed}")

    def enqueue(self, job_type: str, payload: Any, **options: Unpack[SubmitOptions]) -> str:
        """Submit a job of the batch and return its id."""
        options["batch"] = self.id
        return self._client.enqueue(job_type, payload, **options)

    def enqueue_many(self, jobs: Iterable[JobFields]) -> list[str]:
        """Submit many jobs of the batch, and return their ids in order."""
        return self._client.enqueue_many(self.add_to(job) for job in jobs)

    def add_to(self, job: JobFields) -> JobFields:
        """Return the fields of a job of the batch, for `enqueue_many`."""
        return {**job, "batch": self.id}

    def seal(self) -> None:
        """Seal the batch, which takes no more jobs."""
        self._client.batches.seal(self.id)

    def progress(self) -> BatchView:
        """Return the batch and its progress."""
        return self._client.batches.get(self.id)

    def wait(self, timeout: float | None = None) -> BatchView:
        """Return the batch once all its jobs have ended, or after `timeout` seconds."""
        return self._client.batches.wait(self.id, timeout)
