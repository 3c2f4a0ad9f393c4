"""The answers of the API that give a result a name."""

from typing import Annotated

import msgspec

from .fields import JobId, QueueName, RateText, ScheduleName, Status, TypeName
from .models import Accepted, LimitView, LogLine, PreviewRow, Reason, RedriveView, ScheduleView, TypeView, WorkerView


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


class LimitSet(msgspec.Struct):
    """The new limit."""

    type: TypeName
    rate: RateText | None
    burst: float | None
    concurrency: int | None


class LimitCleared(msgspec.Struct):
    """A type whose limit is cleared; `cleared` is false if it had none."""

    job_type: TypeName = msgspec.field(name="type")
    cleared: bool


class QueuePaused(msgspec.Struct):
    """Whether a queue is paused; `changed` is false if it already was in this state."""

    queue: QueueName
    paused: bool
    changed: bool


class TypePaused(msgspec.Struct):
    """Whether a job type is paused; `changed` is false if it already was in this state."""

    job_type: TypeName = msgspec.field(name="type")
    paused: bool
    changed: bool


class SchedulesView(msgspec.Struct):
    """All schedules."""

    schedules: list[ScheduleView]


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
