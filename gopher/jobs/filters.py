"""The filters of lists and of bulk actions, each declared once.

The API reads them from a query or a body, a client's methods take their fields as arguments, and the command line has
an option for each. A field's description is its text in the OpenAPI document and in `--help`. `job_type` is `type` in
JSON, in a query and on the command line.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from gopher.base.states import PURGEABLE

from .audit import RESULTS
from .fields import Checked, Duration, Key, QueueName, RateText, Status, TypeName, one_of
from .limit import MOST
from .tenants import TenantName, Weight

#: Entries of a page.
MAX_LIMIT = 500
#: Characters of a text that is searched in errors.
MAX_ERROR_TEXT = 200
#: What a list of jobs is sorted by.
SORTS = ("changed", "created")
#: Groups of dead letters that are listed.
MAX_GROUPS = 1000
#: Times of a schedule that are shown at once.
MAX_PREVIEW = 1000
#: Jobs that a gradual redrive tries first: each is looked at twice a second.
MAX_CANARY = 100

_Cursor = Annotated[str, Meta(description="Continue after the previous page.")]
_PageSize = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Maximum number of entries.")]
_OnlyType = Annotated[TypeName, Meta(description="Only this job type.")]
_OnlyTenant = Annotated[TenantName, Meta(description="Only jobs of this tenant.", extra={"metavar": "TENANT"})]
_OnlyQueue = Annotated[QueueName, Meta(description="Only this queue.")]

_ErrorClass = Annotated[
    str,
    Meta(
        description="Only this error class, such as ValueError.",
        examples=["ValueError"],
        extra={"metavar": "CLASS"},
    ),
]
_ErrorText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ERROR_TEXT,
        description="Only jobs whose last error contains this text: in `ValueError: it broke`, in any case.",
        examples=["no such picture"],
        extra={"metavar": "TEXT"},
    ),
]
_Moment = Annotated[
    str,
    Meta(
        description="RFC 3339, with an offset; or a duration, for that long ago.",
        examples=["2026-11-24T08:00:00Z"],
        extra={"metavar": "TIME"},
    ),
]
_Sort = Annotated[
    str,
    Meta(
        description="Newest first by last change (the default), or by creation.",
        examples=["created"],
        extra_json_schema=one_of(SORTS),
    ),
]
_Group = Annotated[
    str,
    Meta(description="Only this failure group; see `list-failed --groups` or /dlq/groups.", examples=["1c42e8b666bf"]),
]
_Most = Annotated[int, Meta(ge=1, le=10**9, description="Maximum number of jobs.")]
_Canary = Annotated[
    int, Meta(ge=1, le=MAX_CANARY, description="Retry N of each queue first, and the rest only if they complete.")
]
_RedriveRate = Annotated[RateText, Meta(description="Maximum rate, e.g. 5/s.")]
_Rate = Annotated[RateText, Meta(description="Start rate, such as 10/s, 600/m, 5/h.")]
_Burst = Annotated[float, Meta(ge=1, le=MOST, description="Maximum burst; by default one second of the rate.")]
_Concurrency = Annotated[int, Meta(ge=1, le=MOST, description="Maximum number of running jobs.")]
_PerKey = Annotated[bool, Meta(description="Limit the jobs of each limit_key separately, not all together.")]


class JobFilter(Checked, kw_only=True):
    """Filters, order and page size."""

    status: Annotated[Status, Meta(description="Only jobs in this state.")] | None = None
    job_type: _OnlyType | None = msgspec.field(default=None, name="type")
    queue: _OnlyQueue | None = None
    tenant: _OnlyTenant | None = None
    tag: Annotated[Key, Meta(description="Only jobs with this tag.", extra={"metavar": "TAG"})] | None = None
    error: _ErrorText | None = None
    created_after: (
        Annotated[_Moment, Meta(description="Only jobs created after this time, or within it: 1h.")] | None
    ) = None
    created_before: (
        Annotated[_Moment, Meta(description="Only jobs created before this time, or longer ago: 1h.")] | None
    ) = None
    #: None is `changed`: an API of the release before has no such parameter.
    sort: _Sort | None = None
    limit: _PageSize = 50
    cursor: _Cursor | None = None


class WorkerFilter(Checked, kw_only=True):
    """Workers: those that match all filters."""

    host: Annotated[str, Meta(description="Only workers on this host.", examples=["web-1"])] | None = None
    queue: Annotated[QueueName, Meta(description="Only workers that serve this queue.")] | None = None


class _OfType(Checked):
    job_type: _OnlyType | None = msgspec.field(default=None, name="type")


class DeadFilter(_OfType, kw_only=True):
    """Dead letters: those that match all filters."""

    error: _ErrorClass | None = None
    group: _Group | None = None
    queue: _OnlyQueue | None = None
    tenant: _OnlyTenant | None = None

    @property
    def is_by_group(self) -> bool:
        """Whether it selects by what the dead letters of a group have in common."""
        return any(getattr(self, name) is not None for name in SELECTING if name != "tenant")

    @property
    def is_whole_queue(self) -> bool:
        """Whether it selects all dead letters of the queues that it means."""
        return all(getattr(self, name) is None for name in SELECTING)


#: The fields of a filter that select among the dead letters of a queue.
SELECTING = tuple(name for name in DeadFilter.__struct_fields__ if name != "queue")


class DeadListing(DeadFilter, kw_only=True):
    """Filters and page size."""

    limit: _PageSize = 50
    cursor: _Cursor | None = None


class DeadSelection(DeadFilter, kw_only=True):
    """The dead letters to retry or delete: those that match all filters, oldest first."""

    limit: _Most | None = None


class RetryAll(DeadSelection, kw_only=True):
    """The dead letters to retry: those that match all filters, oldest first.

    With `canary` or `rate` the redrive is gradual: the first `canary` jobs are retried, the rest once those have
    completed; at most `rate` jobs (`5/s`) are retried per unit of time.
    """

    canary: _Canary | None = None
    rate: _RedriveRate | None = None


class GroupFilter(Checked):
    """Filters and number of groups."""

    queue: _OnlyQueue | None = None
    tenant: _OnlyTenant | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_GROUPS, description="Maximum number of groups.")] = 100


class AuditFilter(Checked):
    """Filters and page size."""

    who: Annotated[str, Meta(description="Only this API key or user.", examples=["ops"])] | None = None
    action: Annotated[str, Meta(description="Only this action.", examples=["queues.purge"])] | None = None
    result: (
        Annotated[
            str,
            Meta(description="Only entries with this result.", examples=["denied"], extra_json_schema=one_of(RESULTS)),
        ]
        | None
    ) = None
    limit: _PageSize = 50
    cursor: _Cursor | None = None


class Purge(Checked):
    """The state of the jobs to delete."""

    state: Annotated[str, Meta(description="State of the jobs to delete.", extra_json_schema=one_of(PURGEABLE))]


class Throttled(Checked):
    """What is throttled of a type."""

    limit_key: Annotated[Key, Meta(description="Only the jobs with this limit key.")] | None = None
    tenant: Annotated[TenantName, Meta(description="Only the jobs of this tenant.")] | None = None


class Window(Checked):
    """Time span and queue."""

    window: Annotated[Duration, Meta(description="Time span, e.g. 1h; up to 31d.")] = "1h"
    queue: Annotated[QueueName, Meta(description="Only this queue.")] | None = None


class ScheduleListing(Checked, kw_only=True):
    """Page size, by default the largest."""

    limit: _PageSize | None = None
    cursor: _Cursor | None = None


class PreviewSize(Checked):
    """The number of times to show."""

    count: Annotated[int, Meta(ge=1, le=MAX_PREVIEW, description="How many times to show.")] = msgspec.field(
        default=10, name="n"
    )


class TenantRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a tenant gets: `{"weight": 3, "concurrency": 10, "rate": "50/s"}`; each field is optional."""

    weight: Weight = 1
    rate: _Rate | None = None
    burst: _Burst | None = None
    concurrency: _Concurrency | None = None


class LimitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The limit to set: `{"rate": "10/s", "burst": 20, "concurrency": 4}`; each field is optional."""

    rate: _Rate | None = None
    burst: _Burst | None = None
    concurrency: _Concurrency | None = None
    per_key: _PerKey = False
