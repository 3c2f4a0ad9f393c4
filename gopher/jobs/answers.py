"""What the API wraps its results into: the names that they have in its answers."""

from typing import Annotated

import msgspec

from .fields import JobId, QueueName, RateText, ScheduleName, Status, TypeName
from .models import Accepted, LimitView, LogLine, PreviewRow, Reason, RedriveView, ScheduleView, TypeView, WorkerView


class Count(msgspec.Struct):
    """How many jobs it was done to."""

    count: int


class BatchAccepted(msgspec.Struct):
    """What became of the jobs of a batch, in order."""

    jobs: list[Accepted]


class JobStatus(msgspec.Struct):
    """Where a job is now."""

    job_id: JobId
    status: Status


class Logs(msgspec.Struct):
    """What a job has logged and printed: the last lines."""

    job_id: JobId
    lines: list[LogLine]


class Why(msgspec.Struct):
    """Why a job isn't running, the first obstacle first."""

    job_id: JobId
    reasons: list[Reason]


class JobType(TypeView, kw_only=True):
    """A job type: its options where a job does not say, its payload's JSON Schema, a curl line that submits one."""

    example: str


class JobTypes(msgspec.Struct):
    """The job types: name -> description, and all about each."""

    job_types: dict[str, str]
    types: list[JobType]


class Workers(msgspec.Struct):
    """The live workers, the longest running first."""

    workers: list[WorkerView]


class RedriveStarted(msgspec.Struct, kw_only=True):
    """A gradual redrive of `count` dead letters that was started."""

    count: int
    redrive_id: str
    #: The name that `redrive_id` had before.
    retry_id: Annotated[str, msgspec.Meta(description="Use redrive_id.", extra_json_schema={"deprecated": True})]


class Redrives(msgspec.Struct):
    """Gradual redrives that are running, or ended within a day; the latest first."""

    redrives: list[RedriveView]


class RedriveStopped(msgspec.Struct):
    """A redrive that was stopped; `stopped` says whether it was still running."""

    redrive_id: str
    stopped: bool


class LimitsView(msgspec.Struct):
    """The types that are limited, paused or held back."""

    limits: list[LimitView]


class LimitSet(msgspec.Struct):
    """A limit as it holds from now on."""

    type: TypeName
    rate: RateText | None
    burst: float | None
    concurrency: int | None


class LimitCleared(msgspec.Struct):
    """A type that has no limit any more; `cleared` says whether it had one."""

    job_type: TypeName = msgspec.field(name="type")
    cleared: bool


class QueuePaused(msgspec.Struct):
    """Whether a queue gives out jobs; `changed` says whether that is new."""

    queue: QueueName
    paused: bool
    changed: bool


class TypePaused(msgspec.Struct):
    """Whether jobs of a type may start; `changed` says whether that is new."""

    job_type: TypeName = msgspec.field(name="type")
    paused: bool
    changed: bool


class SchedulesView(msgspec.Struct):
    """All schedules."""

    schedules: list[ScheduleView]


class Deleted(msgspec.Struct):
    """A schedule that is gone."""

    name: ScheduleName
    deleted: bool


class JobMade(msgspec.Struct):
    """A job that a schedule made out of turn."""

    job_id: JobId
    schedule: ScheduleName


class Preview(msgspec.Struct):
    """When a schedule fires next."""

    name: ScheduleName
    times: list[PreviewRow]
