"""Which jobs, dead letters and figures are asked for: the filters of lists and of bulk actions, each declared once.

The API reads them from a query or a body, a client's methods take their fields as arguments, and the command line has
an option for each. A field's description is its text in the API's document and in `--help`. `job_type` is `type` in
JSON, in a query and on the command line.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from .fields import Checked, Duration, QueueName, RateText, Status, TypeName, one_of
from .job import State
from .limit import MOST

#: Entries of a page.
MAX_LIMIT = 500
#: Groups of dead letters that are listed.
MAX_GROUPS = 1000
#: Times of a schedule that are shown at once.
MAX_PREVIEW = 1000
#: Jobs that a gradual redrive tries first: each is looked at twice a second.
MAX_CANARY = 100
#: States whose jobs can be deleted all at once.
PURGEABLE = (State.PENDING, State.SCHEDULED, State.RETRYING, State.FAILED)

_Cursor = Annotated[str, Meta(description="Continue where the last page ended.")]
_PageSize = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Maximum number of jobs on a page.")]
_OnlyType = Annotated[TypeName, Meta(description="Only jobs of this type.")]
_OnlyQueue = Annotated[QueueName, Meta(description="Only jobs of this queue.")]

_ErrorClass = Annotated[
    str,
    Meta(
        description="Only jobs that failed with this error class, e.g. ValueError.",
        examples=["ValueError"],
        extra={"metavar": "CLASS"},
    ),
]
_Group = Annotated[
    str,
    Meta(description="Only this group: `list-failed --groups` and /dlq/groups list them.", examples=["1c42e8b666bf"]),
]
_Most = Annotated[int, Meta(ge=1, le=10**9, description="Maximum number of jobs.")]
_Canary = Annotated[int, Meta(ge=1, le=MAX_CANARY, description="Retry N of each queue first as a canary.")]
_RedriveRate = Annotated[RateText, Meta(description="Maximum rate, e.g. 5/s.")]
_Rate = Annotated[RateText, Meta(description="Maximum rate of starts, e.g. 10/s, 600/m or 5/h.")]
_Burst = Annotated[
    float, Meta(ge=1, le=MOST, description="Starts that may come at once; by default those of one second.")
]
_Concurrency = Annotated[int, Meta(ge=1, le=MOST, description="Maximum number of jobs running at once.")]


class JobFilter(Checked, kw_only=True):
    """Which jobs to list, and how many."""

    status: Annotated[Status, Meta(description="Only jobs in this state.")] | None = None
    job_type: _OnlyType | None = msgspec.field(default=None, name="type")
    queue: _OnlyQueue | None = None
    limit: _PageSize = 50
    cursor: _Cursor | None = None


class _OfType(Checked):
    job_type: _OnlyType | None = msgspec.field(default=None, name="type")


class DeadFilter(_OfType, kw_only=True):
    """Which dead letters: those that match everything that is given."""

    error: _ErrorClass | None = None
    group: _Group | None = None
    queue: _OnlyQueue | None = None

    @property
    def is_whole_queue(self) -> bool:
        """Whether it selects all dead letters of the queues that it means."""
        return all(getattr(self, name) is None for name in SELECTING)


#: The fields of a filter that select among the dead letters of a queue.
SELECTING = tuple(name for name in DeadFilter.__struct_fields__ if name != "queue")


class DeadListing(DeadFilter, kw_only=True):
    """Which dead letters to list, and how many."""

    limit: _PageSize = 50
    cursor: _Cursor | None = None


class DeadSelection(DeadFilter, kw_only=True):
    """Which dead letters to act on, the oldest first: those that match everything that is given."""

    limit: _Most | None = None


class RetryAll(DeadSelection, kw_only=True):
    """Which dead letters to retry, the oldest first: those that match everything that is given.

    With a `canary` or a `rate` they are redriven gradually: the canary first, the rest once it has completed.
    """

    canary: _Canary | None = None
    rate: _RedriveRate | None = None


class GroupFilter(Checked):
    """Which groups of dead letters to list, and how many."""

    queue: _OnlyQueue | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_GROUPS, description="Maximum number of groups.")] = 100


class Purge(Checked):
    """Which jobs of a queue to delete."""

    state: Annotated[str, Meta(description="The state of the jobs to delete.", extra_json_schema=one_of(PURGEABLE))]


class Window(Checked):
    """How far back to look, and at which queue."""

    window: Duration = "1h"
    queue: Annotated[QueueName, Meta(description="Only this queue.")] | None = None


class PreviewSize(Checked):
    """How many times of a schedule to show."""

    count: Annotated[int, Meta(ge=1, le=MAX_PREVIEW, description="How many times to show.")] = msgspec.field(
        default=10, name="n"
    )


class LimitRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A limit as it is asked for: `{"rate": "10/s", "burst": 20, "concurrency": 4}`, each of them optional."""

    rate: _Rate | None = None
    burst: _Burst | None = None
    concurrency: _Concurrency | None = None
