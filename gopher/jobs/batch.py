"""Batches: jobs in any queues that are counted together, and callbacks once they have ended."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gopher.errors import InvalidJob

from .callbacks import BatchCallback, callback_line, check_batch_callback
from .decoding import explain
from .fields import BatchId, Checked, Duration, JobId, Key, Owner, QueueName, Time, TypeName, one_of
from .job import NewJob, job_id_from
from .lists import MAX_LIMIT
from .models import Corrupt
from .prepare import check_queue, check_retention, check_tags, prepare
from .ranges import MAX_TAGS
from .registry import Registry
from .submission import MAX_PAYLOAD, Submission, submission_of

#: What a batch can run a job for, by the word in `on_<event>`.
EVENTS = ("complete", "success", "failure")
#: open: takes jobs. running: sealed, and some jobs have not ended. Else all have: succeeded if all have completed.
STATUSES = ("open", "running", "succeeded", "failed")
#: How the jobs of a batch can have ended in addition to the states of jobs.
DELETED, UNSTORED = "deleted", "unstored"
#: Maximum number of characters of a name.
LONGEST_NAME = 200
#: Seconds that a batch is kept after its end; and while it is open and nothing is added.
KEPT_FOR = 7 * 86400.0

_Name = Annotated[str, Meta(max_length=LONGEST_NAME, description="Name for people.", examples=["nightly import"])]
_Count = Annotated[int, Meta(ge=0)]


class NewBatch(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A batch to create. Its callbacks are jobs like any other: `{"type": ..., "payload": ..., ...}`."""

    name: _Name = ""
    queue: Annotated[QueueName, Meta(description="Queue that keeps the batch, by default that of its callbacks.")] = ""
    on_complete: Annotated[Submission, Meta(description="Job to run once all jobs have ended.")] | None = None
    on_success: Annotated[Submission, Meta(description="Job to run once all jobs have completed.")] | None = None
    on_failure: (
        Annotated[Submission, Meta(description="Job to run once all jobs have ended, if some have not completed.")]
        | None
    ) = None
    callback: Annotated[BatchCallback, Meta(description="Where its end is reported to.")] | None = None
    retention: (
        Annotated[Duration, Meta(description="How long to keep the batch after its end; 7 days by default.")] | None
    ) = None
    tags: Annotated[list[Key], Meta(extra_json_schema={"maxItems": MAX_TAGS})] = []


class BatchCounts(msgspec.Struct, kw_only=True):
    """How many jobs of a batch are in which state; `pending` have not ended."""

    total: _Count = 0
    pending: _Count = 0
    completed: _Count = 0
    failed: _Count = 0
    cancelled: _Count = 0
    expired: _Count = 0
    #: Deleted while they waited.
    deleted: _Count = 0


class BatchView(msgspec.Struct, kw_only=True):
    """A batch and its progress."""

    batch_id: BatchId
    name: str
    queue: QueueName
    status: Annotated[str, Meta(extra_json_schema=one_of(STATUSES))]
    total: _Count = 0
    #: How many have not ended; the others are in these states.
    pending: _Count = 0
    completed: _Count = 0
    failed: _Count = 0
    cancelled: _Count = 0
    expired: _Count = 0
    deleted: _Count = 0
    created_at: Time
    sealed_at: Time | None = None
    cancelled_at: Time | None = None
    #: When all jobs had ended for the first time.
    completed_at: Time | None = None
    #: By job type.
    types: dict[str, BatchCounts] = {}
    #: Event -> id of the callback's job, once it has been enqueued.
    callbacks: dict[str, JobId | None] = {}
    #: Where its end is reported to.
    callback: BatchCallback | UnsetType = UNSET
    owner: Owner = ""
    tags: list[Key] = []
    corrupt: Corrupt | UnsetType = UNSET

    @property
    def has_ended(self) -> bool:
        """Whether all jobs have ended and none can be added."""
        return self.status in ("succeeded", "failed")

    @property
    def ended(self) -> int:
        """Return how many jobs have ended."""
        return self.total - self.pending


class BatchJob(msgspec.Struct):
    """A job of a batch, as it was last counted."""

    job_id: JobId
    status: str
    queue: QueueName
    type: TypeName


class BatchPage(msgspec.Struct):
    """Batches, newest first."""

    batches: list[BatchView]
    next_cursor: str | None = None


class BatchJobsPage(msgspec.Struct):
    """Jobs of a batch, in no particular order."""

    jobs: list[BatchJob]
    next_cursor: str | None = None


_Cursor = Annotated[str, Meta(description="Continue after the previous page.")]
_PageSize = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Maximum number of entries.")]


class BatchFilter(Checked, kw_only=True):
    """Filters and page size."""

    status: (
        Annotated[str, Meta(description="Only batches in this state.", extra_json_schema=one_of(STATUSES))] | None
    ) = None
    queue: Annotated[QueueName, Meta(description="Only batches that this queue keeps.")] | None = None
    limit: _PageSize = 50
    cursor: _Cursor | None = None


class BatchJobsFilter(Checked, kw_only=True):
    """Filter and page size."""

    status: Annotated[str, Meta(description="Only jobs counted in this state.", examples=["failed"])] | None = None
    limit: _PageSize = 100
    cursor: _Cursor | None = None


class PreparedBatch(msgspec.Struct):
    """A validated batch."""

    queue: str
    retention: float
    fields: dict[str, str | bytes]
    #: The jobs of its callbacks, by event.
    callbacks: dict[str, NewJob]

    @property
    def queues(self) -> list[str]:
        """All its queues."""
        return list(dict.fromkeys([self.queue, *(job.queue for job in self.callbacks.values())]))


def new_batch(**options: Any) -> NewBatch:
    """Return a batch from Python values: callbacks are dicts like the jobs of `enqueue_many`."""
    fields = {name: value for name, value in options.items() if value is not None}
    if unknown := fields.keys() - set(NewBatch.__struct_fields__):
        raise InvalidJob(f"is not an option of a batch: {', '.join(NewBatch.__struct_fields__)}", f"/{min(unknown)}")
    for event in EVENTS:
        callback = fields.get(f"on_{event}")
        if isinstance(callback, Mapping):
            fields[f"on_{event}"] = submission_of({"payload": {}, **callback})
    if isinstance(fields.get("callback"), Mapping):
        fields["callback"] = _converted(fields["callback"])
    if "retention" in fields and hasattr(fields["retention"], "total_seconds"):
        fields["retention"] = fields["retention"].total_seconds()
    return NewBatch(**fields)


def _converted(callback: Mapping[str, Any]) -> BatchCallback:
    try:
        return msgspec.convert(dict(callback), BatchCallback)
    except msgspec.ValidationError as error:
        raise explain(error, "/callback", BatchCallback) from None


def prepare_new_batch(new: NewBatch, registry: Registry | None) -> PreparedBatch:
    """Validate a batch. Raises InvalidJob, naming the field."""
    if len(new.name) > LONGEST_NAME or not new.name.isprintable():
        raise InvalidJob(f"must have at most {LONGEST_NAME} printable characters", "/name")
    callbacks: dict[str, NewJob] = {}
    for event in EVENTS:
        submission = getattr(new, f"on_{event}")
        if submission is not None:
            callbacks[event] = _prepared(submission, registry, f"/on_{event}")
    queue = new.queue or next((job.queue for job in callbacks.values()), "default")
    check_queue(queue)
    retention = KEPT_FOR if new.retention is None else check_retention(new.retention)
    fields: dict[str, str | bytes] = {"name": new.name, "tags": ",".join(check_tags(new.tags))}
    if new.callback is not None:
        fields["callback"] = callback_line(check_batch_callback(new.callback))
    return PreparedBatch(queue, max(retention, 60.0), fields, callbacks)


def _prepared(submission: Submission, registry: Registry | None, field: str) -> NewJob:
    for name in ("after", "files", "batch", "recurring", "job_id"):
        if getattr(submission, name):
            raise InvalidJob("is not supported for the callback of a batch: remove it", f"{field}/{name}")
    try:
        job = prepare(submission, registry, names=False)
    except InvalidJob as error:
        raise type(error)(error.details, f"{field}{error.field or ''}") from None
    if len(job.envelope) > MAX_PAYLOAD + 8192:
        raise InvalidJob(f"must have a payload of at most {MAX_PAYLOAD} bytes", f"{field}/payload")
    return job


def callback_id(batch_id: str, event: str, fired: int) -> str:
    """Return the id of a callback's job, which was due at a time (ms): always the same."""
    return job_id_from(fired, hashlib.sha256(f"{batch_id} {event}".encode()).hexdigest())


_decode_job: Any = msgspec.json.Decoder(NewJob).decode


def callback_job(stored: str, batch_id: str, event: str, fired: int) -> NewJob:
    """Return the job of a callback, as it is stored with its batch."""
    job: NewJob = _decode_job(stored)
    return msgspec.structs.replace(job, id=callback_id(batch_id, event, fired))
