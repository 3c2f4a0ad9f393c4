"""The filters of a client's own operations, which its methods take: every program has them.

Those of its parts are in filters.py, which explains what a filter is.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from gopher.base.states import PURGEABLE

from .fields import Checked, Duration, Key, QueueName, Status, TenantName, TypeName, one_of

#: Entries of a page.
MAX_LIMIT = 500
#: Characters of a text that is searched in errors.
MAX_ERROR_TEXT = 200
#: What a list of jobs is sorted by.
SORTS = ("changed", "created")
#: `denied`: the key lacks the role; `refused`: the key is unknown; `failed`: some of it may have happened.
DONE, DENIED, REFUSED, FAILED = RESULTS = ("done", "denied", "refused", "failed")

NextCursor = Annotated[str, Meta(description="Continue after the previous page.")]
PageSize = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Maximum number of entries.")]
OnlyType = Annotated[TypeName, Meta(description="Only this job type.")]
OnlyTenant = Annotated[TenantName, Meta(description="Only jobs of this tenant.", extra={"metavar": "TENANT"})]
OnlyQueue = Annotated[QueueName, Meta(description="Only this queue.")]

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
Moment = Annotated[
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


class JobFilter(Checked, kw_only=True):
    """Filters, order and page size."""

    status: Annotated[Status, Meta(description="Only jobs in this state.")] | None = None
    job_type: OnlyType | None = msgspec.field(default=None, name="type")
    queue: OnlyQueue | None = None
    tenant: OnlyTenant | None = None
    tag: Annotated[Key, Meta(description="Only jobs with this tag.", extra={"metavar": "TAG"})] | None = None
    error: _ErrorText | None = None
    created_after: (
        Annotated[Moment, Meta(description="Only jobs created after this time, or within it: 1h.")] | None
    ) = None
    created_before: (
        Annotated[Moment, Meta(description="Only jobs created before this time, or longer ago: 1h.")] | None
    ) = None
    #: None is `changed`: an API of the release before has no such parameter.
    sort: _Sort | None = None
    limit: PageSize = 50
    cursor: NextCursor | None = None


class Window(Checked):
    """Time span and queue."""

    window: Annotated[Duration, Meta(description="Time span, e.g. 1h; up to 31d.")] = "1h"
    queue: Annotated[QueueName, Meta(description="Only this queue.")] | None = None


class CapacityFilter(Checked):
    """The promise to keep, and for which jobs."""

    within: (
        Annotated[
            Duration,
            Meta(description="Time within which jobs should start; by default GOPHER_CAPACITY_WITHIN."),
        ]
        | None
    ) = None
    queue: Annotated[QueueName, Meta(description="Only this queue, and the workers that serve it.")] | None = None


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
    limit: PageSize = 50
    cursor: NextCursor | None = None


class Purge(Checked):
    """The state of the jobs to delete."""

    state: Annotated[str, Meta(description="State of the jobs to delete.", extra_json_schema=one_of(PURGEABLE))]
