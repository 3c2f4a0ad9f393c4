"""The models of actions on jobs that wait: moved jobs, and cancellations of all jobs that match a filter."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gopher.base.states import CANCELLABLE, WAITING, State

from .fields import (
    Checked,
    JobId,
    JsonObject,
    Owner,
    Priority,
    QueueName,
    Status,
    TenantName,
    Time,
    TypeName,
    one_of,
)
from .lists import Moment
from .models import Corrupt
from .submission import NULL

#: States of jobs that a cancellation covers, unless it is asked for one.
DEFAULT_STATES = tuple(state for state in State if state in WAITING)

_ToQueue = Annotated[QueueName, Meta(description="Move the job to this queue.")]
_ToPriority = Annotated[Priority, Meta(description="Give the job this priority.")]


class Move(Checked):
    """Where to move a waiting job: to another queue, to another priority, or both."""

    queue: _ToQueue | None = None
    priority: _ToPriority | None = None


class Moved(msgspec.Struct):
    """A job that was moved, or was there already."""

    job_id: JobId
    queue: QueueName
    priority: Priority


class Copy(Checked):
    """What differs in a copy of a job."""

    # A factory, since the OpenAPI document can't contain a Raw as a default; not `Raw | None`, which reads null only.
    payload: Annotated[JsonObject, Meta(description="Payload of the copy; by default that of the job.")] = (
        msgspec.field(default_factory=lambda: NULL)
    )
    queue: Annotated[QueueName, Meta(description="Queue of the copy; by default that of the job.")] | None = None
    priority: Annotated[Priority, Meta(description="Priority of the copy; by default that of the job.")] | None = None


class Copied(msgspec.Struct):
    """A copy of a job."""

    job_id: JobId
    copied_from: JobId


class CancelFilter(Checked, kw_only=True):
    """The jobs to cancel: those that match all filters."""

    status: (
        Annotated[
            str,
            Meta(
                description="Only jobs in this state; by default all that wait.",
                extra_json_schema=one_of(tuple(state for state in State if state in CANCELLABLE)),
            ),
        ]
        | None
    ) = None
    job_type: Annotated[TypeName, Meta(description="Only this job type.")] | None = msgspec.field(
        default=None, name="type"
    )
    queue: Annotated[QueueName, Meta(description="Only this queue.")] | None = None
    tenant: Annotated[TenantName, Meta(description="Only jobs of this tenant.")] | None = None
    owner: Annotated[Owner, Meta(description="Only jobs of this owner.")] | None = None
    created_before: (
        Annotated[Moment, Meta(description="Only jobs created before this time, or longer ago: 1h.")] | None
    ) = None
    dry_run: Annotated[bool, Meta(description="Only count the jobs that match.")] = False


class StartedCancellation(msgspec.Struct):
    """A cancellation that was started, and how many jobs it will look at; its id is "" if there are none."""

    cancellation_id: str
    to_look_at: int


class CancellationView(msgspec.Struct, omit_defaults=True):
    """The progress of a cancellation in one queue. `status` is running, finished or stopped."""

    cancellation_id: str
    queue: QueueName
    status: str
    #: About how many jobs it looks at, and how many it has looked at.
    total: int
    looked_at: int
    #: How many jobs were cancelled; running ones that were asked to stop; those that match, of a dry run.
    cancelled: int
    stopping: int
    matched: int
    dry_run: bool
    #: The filter.
    type: TypeName | None
    state: Status | None
    tenant: str | None
    owner: str | None
    created_before: Time | None
    started_at: Time
    finished_at: Time | None
    reason: str | None
    corrupt: Corrupt = []


class Cancellations(msgspec.Struct):
    """Cancellations, including those that ended within the last day; latest first."""

    cancellations: list[CancellationView]


class CancellationStopped(msgspec.Struct):
    """A cancellation that is stopped; `stopped` is false if it had already ended."""

    cancellation_id: str
    stopped: bool
