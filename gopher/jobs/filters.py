"""The filters of lists and of bulk actions, each declared once.

The API reads them from a query or a body, a client's methods take their fields as arguments, and the command line has
an option for each. A field's description is its text in the OpenAPI document and in `--help`. `job_type` is `type` in
JSON, in a query and on the command line.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from .fields import Checked, Key, QueueName, RateText, TenantName
from .limit import MOST
from .lists import NextCursor, OnlyQueue, OnlyTenant, OnlyType, PageSize
from .tenants import Weight

#: Groups of dead letters that are listed.
MAX_GROUPS = 1000
#: Times of a schedule that are shown at once.
MAX_PREVIEW = 1000
#: Jobs that a gradual redrive tries first: each is looked at twice a second.
MAX_CANARY = 100

_ErrorClass = Annotated[
    str,
    Meta(
        description="Only this error class, such as ValueError.",
        examples=["ValueError"],
        extra={"metavar": "CLASS"},
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


class WorkerFilter(Checked, kw_only=True):
    """Workers: those that match all filters."""

    host: Annotated[str, Meta(description="Only workers on this host.", examples=["web-1"])] | None = None
    queue: Annotated[QueueName, Meta(description="Only workers that serve this queue.")] | None = None


class _OfType(Checked):
    job_type: OnlyType | None = msgspec.field(default=None, name="type")


class DeadFilter(_OfType, kw_only=True):
    """Dead letters: those that match all filters."""

    error: _ErrorClass | None = None
    group: _Group | None = None
    queue: OnlyQueue | None = None
    tenant: OnlyTenant | None = None

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

    limit: PageSize = 50
    cursor: NextCursor | None = None


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

    queue: OnlyQueue | None = None
    tenant: OnlyTenant | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_GROUPS, description="Maximum number of groups.")] = 100


class Throttled(Checked):
    """What is throttled of a type."""

    limit_key: Annotated[Key, Meta(description="Only the jobs with this limit key.")] | None = None
    tenant: Annotated[TenantName, Meta(description="Only the jobs of this tenant.")] | None = None


class ScheduleListing(Checked, kw_only=True):
    """Page size, by default the largest."""

    limit: PageSize | None = None
    cursor: NextCursor | None = None


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
