"""The answers of the API that give a result a name."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .fields import JobId, Key, QueueName, RateText, ScheduleName, Status, TypeName, WorkerId
from .limit_view import LimitView
from .models import Accepted, LogLine, PreviewRow, Reason, RedriveView, TypeView, WorkerView

#: Only if there is one.
Doubt = (
    Annotated[
        str,
        Meta(
            description="Why the name may be misspelt.",
            examples=["no live worker has a handler for 'emial': did you mean 'email'?"],
        ),
    ]
    | UnsetType
)


class Count(msgspec.Struct):
    """The number of jobs that were changed."""

    count: int


class BatchAccepted(msgspec.Struct):
    """The results of a batch, in order."""

    jobs: list[Accepted]


class JobStatus(msgspec.Struct):
    """A job and its state."""

    job_id: JobId
    status: Status


class Logs(msgspec.Struct):
    """The last lines that a job has logged and printed."""

    job_id: JobId
    lines: list[LogLine]


class Why(msgspec.Struct):
    """The reasons why a job isn't running, most immediate first."""

    job_id: JobId
    reasons: list[Reason]


class JobType(TypeView, kw_only=True):
    """A job type: its default options, the JSON Schema of its payload, and a curl command that submits one."""

    example: str


class JobTypes(msgspec.Struct):
    """The job types: descriptions by name, and their details."""

    job_types: dict[str, str]
    types: list[JobType]


class Workers(msgspec.Struct):
    """Live workers, longest running first."""

    workers: list[WorkerView]


class WorkersTold(msgspec.Struct):
    """The ids of the workers that were told."""

    workers: list[WorkerId]


class RedriveStarted(msgspec.Struct, kw_only=True):
    """A gradual redrive of `count` dead letters that was started."""

    count: int
    redrive_id: str
    #: The name that `redrive_id` had before.
    retry_id: Annotated[str, msgspec.Meta(description="Use redrive_id.", extra_json_schema={"deprecated": True})]


class Redrives(msgspec.Struct):
    """Gradual redrives, including those that ended within the last day; latest first."""

    redrives: list[RedriveView]


class RedriveStopped(msgspec.Struct):
    """A redrive that is stopped; `stopped` is false if it had already ended."""

    redrive_id: str
    stopped: bool


class LimitsView(msgspec.Struct):
    """The types that are limited, paused or throttled."""

    limits: list[LimitView]


class LimitSet(msgspec.Struct, omit_defaults=True):
    """The new limit."""

    type: TypeName
    rate: RateText | None
    burst: float | None
    concurrency: int | None
    per_key: bool = False
    warning: Doubt = UNSET


class LimitCleared(msgspec.Struct):
    """A type whose limit is cleared; `cleared` is false if it had none."""

    job_type: TypeName = msgspec.field(name="type")
    cleared: bool


class Released(msgspec.Struct, omit_defaults=True):
    """A type, or one of its limit keys or tenants, that is not throttled any more. `released` counts what was."""

    job_type: TypeName = msgspec.field(name="type")
    limit_key: Key | None
    released: int
    tenant: Key | None = None


class QueuePaused(msgspec.Struct):
    """Whether a queue is paused; `changed` is false if it already was in this state."""

    queue: QueueName
    paused: bool
    changed: bool
    warning: Doubt = UNSET


class TypePaused(msgspec.Struct):
    """Whether a job type is paused; `changed` is false if it already was in this state."""

    job_type: TypeName = msgspec.field(name="type")
    paused: bool
    changed: bool
    warning: Doubt = UNSET


class Deleted(msgspec.Struct):
    """A deleted schedule."""

    name: ScheduleName
    deleted: bool


class JobMade(msgspec.Struct):
    """A job enqueued by running a schedule manually."""

    job_id: JobId
    schedule: ScheduleName


class Preview(msgspec.Struct):
    """The next times of a schedule."""

    name: ScheduleName
    times: list[PreviewRow]
