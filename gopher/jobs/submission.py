"""A submission as it is declared: its fields with their texts, and how it is read. Its rules are in prepare.py."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gopher.base.durability import DURABILITIES
from gopher.base.names import PART_NAME, TENANT
from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.unique_modes import MODES
from gopher.errors import InvalidJob

from .callbacks import Callback
from .conversion import encode
from .decoding import decode, explain
from .fields import (
    BatchId,
    Duration,
    FileId,
    JobId,
    JsonObject,
    Key,
    Metadata,
    Priority,
    QueueName,
    ScheduleName,
    SubmittedTime,
    TypeName,
    one_of,
    whole,
)
from .ranges import MAX_TAGS
from .strict_json import check_finite, check_names

#: Maximum bytes of JSON.
MAX_PAYLOAD = 256 * 1024
MAX_METADATA = 4 * 1024
#: Maximum number of jobs of a batch.
MAX_BATCH = 10_000
#: Maximum number of jobs that a job may wait for.
MAX_PARENTS = 1000
#: Maximum number of uploads of a job.
MAX_FILES = 20

#: What to do about a schedule's missed times.
MISSED = ("skip", "run_once", "run_all")
#: Whether a schedule creates a job while its previous one is unfinished.
OVERLAP = ("allow", "skip")
#: What happens to a job if one that it waits for does not complete.
PARENT_FAILURE = ("fail", "run")

NULL = msgspec.Raw(b"null")

Missed = Annotated[
    str,
    Meta(description="What to do about runs missed while no scheduler was running.", extra_json_schema=one_of(MISSED)),
]
Overlap = Annotated[
    str,
    Meta(description="skip: enqueue no job while the previous one is unfinished.", extra_json_schema=one_of(OVERLAP)),
]
CronExpression = Annotated[
    str,
    Meta(
        description="Cron expression: 5 fields, 6 with seconds, or e.g. @daily; or an interval: every 45 minutes.",
        examples=["0 3 * * *"],
        extra={"metavar": "EXPRESSION"},
    ),
]
Timezone = Annotated[
    str,
    Meta(
        description="Timezone, such as Europe/Berlin.",
        examples=["Europe/Berlin"],
        extra={"metavar": "ZONE"},
    ),
]
SubmittedPriority = Annotated[
    Priority, Meta(description=f"Job priority; by default the handler's, else {DEFAULT_PRIORITY}.")
]
SubmittedQueue = Annotated[QueueName, Meta(description="Queue name; by default the handler's, else default.")]
MaxRetries = Annotated[
    int,
    Meta(
        description="Maximum number of retries; by default the handler's.",
        extra_json_schema={"minimum": 0, "maximum": 100},
    ),
]
Timeout = Annotated[Duration, Meta(description="Timeout of each attempt; by default the handler's.")]
ExpiresIn = Annotated[Duration, Meta(description="Expire the job if it has not started within this time.")]
Retention = Annotated[Duration, Meta(description="How long to keep the finished job; by default GOPHER_RESULT_TTL.")]
RetryFor = Annotated[Duration, Meta(description="Start no attempt later than this after the submission.")]
LimitKey = Annotated[Key, Meta(description="Key of the limit for this job, if the type has a limit per key.")]
SubmittedTenant = Annotated[
    str,
    Meta(
        description="Whose job it is: waiting jobs of tenants are served in turn.",
        examples=["customer:42"],
        extra_json_schema=whole(TENANT),
        extra={"metavar": "TENANT"},
    ),
]
Tags = Annotated[
    list[Key],
    Meta(
        description="Tag the job; by default with the handler's tags.",
        extra_json_schema={"maxItems": MAX_TAGS},
        extra={"metavar": "TAG"},
    ),
]
_Delay = Annotated[Duration, Meta(description="Run after this delay: 10s, 1h30m.")]
_ExecuteAt = Annotated[SubmittedTime, Meta(description="Run at this time: 2030-01-31T08:00:00+01:00.")]
_ExpiresAt = Annotated[SubmittedTime, Meta(description="Expire the job if it has not started by this time.")]
_UniqueKey = Annotated[Key, Meta(description="Deduplicate: return the unfinished job with this key, if any.")]
_UniqueFor = Annotated[
    Duration, Meta(description="Release the unique key after this time even if the job is unfinished.")
]
_UniqueMode = Annotated[
    str,
    Meta(
        description="What to do if there is an unfinished job with the unique key: keep it, replace its payload and "
        "postpone it, or reject this one; by default the handler's, else keep.",
        extra_json_schema=one_of(tuple(MODES)),
    ),
]
_MaxWait = Annotated[
    Duration, Meta(description="With unique_mode replace: postpone the job by at most this time in all.")
]
_ChosenId = Annotated[
    JobId,
    Meta(description="Choose the job's id, a UUID: submitting the same job again with it stores nothing."),
]


class AfterBatch(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Run after all jobs of a batch."""

    batch: BatchId


_After = (
    Annotated[
        list[JobId | int],
        Meta(
            description="Run after these jobs, or batches, by their ids.",
            extra_json_schema={"maxItems": MAX_PARENTS},
            extra={"metavar": "ID"},
        ),
    ]
    | AfterBatch
)
_Durability = Annotated[
    str,
    Meta(
        description="When the submission is acknowledged; by default the handler's, the API key's or "
        "GOPHER_DURABILITY.",
        extra_json_schema=one_of(tuple(DURABILITIES)),
    ),
]
_RequireWorker = Annotated[bool, Meta(description="Accept the job only if a live worker serves its type and queue.")]
_Files = Annotated[
    dict[Annotated[str, Meta(extra_json_schema=whole(PART_NAME))], FileId],
    Meta(
        description="Uploads for the handler by name: ids of POST /api/v1/files.",
        examples=[{"file": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}],
        extra_json_schema={"maxProperties": MAX_FILES},
    ),
]
_Batch = Annotated[BatchId, Meta(description="Add the job to this batch, by its id.")]
SubmittedCallback = Annotated[
    Callback, Meta(description="Report how the job ends to a URL: url, events, include.", extra={"metavar": "URL"})
]
_OnParentFailure = Annotated[
    str,
    Meta(
        description="What to do if one of the `after` jobs does not complete.", extra_json_schema=one_of(PARENT_FAILURE)
    ),
]


class Recurring(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Turns a submission into a schedule; `name` defaults to one derived from the type and the other fields."""

    cron_expression: CronExpression
    timezone: Timezone = "UTC"
    name: ScheduleName | None = None
    missed: Missed = "run_once"
    overlap: Overlap = "allow"


class Submission(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A job to submit. Durations are `10s`, `1h30m` or a number of seconds; times are RFC 3339 with an offset."""

    type: TypeName
    payload: JsonObject
    #: What is unset, or None, is the handler's (see `defaults`).
    priority: SubmittedPriority | UnsetType = UNSET
    queue: SubmittedQueue | UnsetType = UNSET
    max_retries: MaxRetries | None = None
    timeout: Timeout | None = None
    execute_at: _ExecuteAt | None = None
    delay: _Delay | None = None
    expires_at: _ExpiresAt | None = None
    expires_in: ExpiresIn | None = None
    retention: Retention | None = None
    retry_for: RetryFor | None = None
    unique_key: _UniqueKey | None = None
    unique_for: _UniqueFor | None = None
    unique_mode: _UniqueMode | None = None
    max_wait: _MaxWait | None = None
    limit_key: LimitKey | None = None
    tenant: SubmittedTenant | None = None
    #: In a batch also the places of earlier jobs.
    after: _After = []
    on_parent_failure: _OnParentFailure = "fail"
    batch: _Batch | None = None
    tags: Tags | UnsetType = UNSET
    durability: _Durability | None = None
    require_worker: _RequireWorker = False
    recurring: Recurring | None = None
    files: _Files = {}
    job_id: _ChosenId | None = None
    callback: SubmittedCallback | None = None
    # A factory, since the OpenAPI document can't contain a Raw as a default.
    metadata: Metadata = msgspec.field(default_factory=lambda: NULL)


class SubmitOptions(TypedDict, total=False):
    """The options of a submission from Python, as a type checker knows them: the fields of `Submission`."""

    priority: str
    queue: str
    max_retries: int | None
    timeout: str | float | timedelta | None
    execute_at: str | datetime | None
    delay: str | float | timedelta | None
    expires_at: str | datetime | None
    expires_in: str | float | timedelta | None
    retention: str | float | timedelta | None
    retry_for: str | float | timedelta | None
    unique_key: str | None
    unique_for: str | float | timedelta | None
    unique_mode: str | None
    max_wait: str | float | timedelta | None
    limit_key: str | None
    tenant: str | None
    after: Sequence[str] | Mapping[str, str]
    on_parent_failure: str
    batch: str | None
    tags: Sequence[str]
    durability: str | None
    require_worker: bool
    metadata: Any
    files: Mapping[str, Any]
    job_id: str | None
    callback: Mapping[str, Any] | None


class JobFields(SubmitOptions):
    """One of many jobs that are submitted from Python at once."""

    type: str
    payload: Any


#: Parsed one by one, so that each invalid one can be reported.
Entry = Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Submission"})]


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Jobs that are accepted all or none."""

    jobs: Annotated[list[Entry], Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_BATCH})]


class InvalidBatch(InvalidJob):
    """Raised when entries of a batch are invalid; `errors` has (index, error) of each, in order."""

    def __init__(self, errors: Sequence[tuple[int, InvalidJob]]) -> None:
        first_index, first = errors[0]
        invalid, where = ("1 job is", "") if len(errors) == 1 else (f"{len(errors)} jobs are", "the first ")
        super().__init__(
            f"{invalid} invalid, so none was accepted; {where}at index {first_index}: {first}",
            f"/jobs/{first_index}{first.field or ''}",
        )
        self.errors = list(errors)


_SUBMISSION = msgspec.json.Decoder(Submission)
_BATCH = msgspec.json.Decoder(Batch)


def parse(body: bytes) -> Submission:
    """Parse a submission from JSON."""
    return decode(_SUBMISSION, body)


def parse_batch(body: bytes) -> list[msgspec.Raw]:
    """Parse a batch into its entries, each still as JSON for `parse`."""
    entries = decode(_BATCH, body, names=False).jobs
    # Duplicate keys within entries are checked when each is parsed; here only a duplicate "jobs", which may also be
    # written with escapes such as \\u006a.
    if body.count(b"jobs") != 1 or b"\\u006" in body or b"\\u007" in body:
        check_names(body)
    if not 1 <= len(entries) <= MAX_BATCH:
        raise InvalidJob(f"contains {len(entries)} jobs: send from 1 to {MAX_BATCH}", "/jobs")
    return entries


def submission_of(fields: Mapping[str, Any]) -> Submission:
    """Create a submission from Python values: `payload` and `metadata` are encoded as JSON."""
    if unknown := fields.keys() - _KNOWN:
        raise _unknown_option(min(unknown))
    values = {name: _plain(value, name) for name, value in fields.items()}
    for name in ("payload", "metadata"):
        if name in values and not isinstance(values[name], msgspec.Raw):
            values[name] = msgspec.Raw(to_json(values[name], f"/{name}"))
    try:
        return msgspec.convert(values, Submission)
    except msgspec.ValidationError as error:
        raise explain(error, kind=Submission) from None


def _plain(value: Any, name: str) -> Any:
    """Return an option's value as it is in JSON."""
    if isinstance(value, str):
        # Of subclasses, such as enums: what encodes them later may not know the class.
        return str.__str__(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise InvalidJob(
                f"is {value.isoformat()}, without a timezone: expected datetime(..., tzinfo=UTC)", f"/{name}"
            )
        return value.isoformat()
    return value


_KNOWN = frozenset(Submission.__struct_fields__)


def _unknown_option(name: str) -> InvalidJob:
    from .option_hints import OF_SUBMISSIONS, hint_for

    hint = hint_for(name, OF_SUBMISSIONS, Submission.__struct_fields__[2:])
    return InvalidJob(f"is not an option of a job: {hint}", f"/{name:.60}")


def to_json(value: Any, field: str) -> bytes:
    """Encode a Python value as JSON: dicts, dataclasses, msgspec Structs. Raises InvalidJob, naming the field.

    A `Raw` is JSON already.
    """
    if isinstance(value, msgspec.Raw):
        return bytes(value)
    try:
        text = encode(value)
        check_finite(value, text, field)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidJob(f"can't be encoded as JSON: {error}", field) from None
    return text
