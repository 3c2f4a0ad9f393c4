"""The models of jobs, queues, workers and schedules that the API, CLI and clients return.

Times are RFC 3339 in UTC, durations and ages seconds.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.renamed import warn
from gopher.base.states import State
from gopher.config.kinds import Role

from .fields import (
    AnyJson,
    Duration,
    JobId,
    JsonObject,
    Key,
    Priority,
    QueueName,
    RateText,
    ScheduleName,
    Status,
    Time,
    TypeName,
)

Progress = Annotated[
    msgspec.Raw,
    Meta(
        description="Progress of a running job.",
        examples=[{"fraction": 0.5, "message": "decoding"}],
        extra_json_schema={"type": "object"},
    ),
]
_ERROR = {
    "type": "object",
    "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
    "required": ["type", "message"],
}
_FAILED = {"type": "ValueError", "message": "no such picture", "traceback": "Traceback...", "permanent": False}
Error = Annotated[
    msgspec.Raw, Meta(description="Error of the last attempt.", examples=[_FAILED], extra_json_schema=_ERROR)
]
PastError = Annotated[dict[str, Any], Meta(examples=[_FAILED], extra_json_schema=_ERROR)]
TraceId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", examples=["4bf92f3577b34da6a3ce929d0e0e4736"])]
Owner = Annotated[
    str,
    Meta(description='Name of the API key that submitted the job, "" if trusted.', examples=["shop"]),
]
Cursor = Annotated[str, Meta(description="Start of the next page, to be passed as `cursor`.")]
Corrupt = Annotated[
    list[str],
    Meta(description="Fields whose stored values can't be read; omitted if there are none.", examples=[["execute_at"]]),
]
#: Includes `corrupt` for jobs whose state can't be read.
ShownStatus = Annotated[str, Meta(examples=[State.PENDING], extra_json_schema={"enum": [*State, "corrupt"]})]
Outcome = Annotated[
    str,
    Meta(description="completed, failed, crashed, timeout, lost, released, running...", examples=["completed"]),
]


class Accepted(msgspec.Struct, omit_defaults=True):
    """A submitted job. With `duplicate`, it is an earlier one with the same unique key."""

    job_id: JobId
    status: Status
    created_at: Time
    type: TypeName
    queue: QueueName
    priority: Priority
    duplicate: bool = False


class TypeView(msgspec.Struct):
    """A job type: the schema of its payload, and the default options of its jobs. `timeout` is in seconds."""

    name: TypeName
    description: str
    payload_schema: dict[str, Any]
    timeout: float
    max_retries: int
    rate_limit: RateText | None
    concurrency: int | None
    #: The role that an API key requires to submit such jobs.
    needs: Role = "submit"
    #: Queue and priority of its jobs unless the submission names others.
    queue: QueueName = "default"
    priority: Priority = DEFAULT_PRIORITY


class HistoryRow(msgspec.Struct):
    """An attempt: completed, failed, crashed, timeout, lost (its worker died), released or running."""

    attempt: int
    outcome: Outcome
    worker: str | None
    started_at: Time | None
    ended_at: Time | None
    error: PastError | None


class JobView(msgspec.Struct, kw_only=True):
    """A job. `payload`, `metadata` and `result` are returned exactly as they were stored.

    `corrupt`, if present, lists the fields of its record that can't be read; their values here are substitutes.
    """

    job_id: JobId
    type: TypeName
    status: ShownStatus
    queue: QueueName
    priority: Priority
    payload: JsonObject
    metadata: JsonObject
    attempts: int
    max_retries: int
    timeout: float
    created_at: Time
    execute_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    duration: float | None
    worker: str | None
    owner: Owner = ""
    #: Its trace id.
    trace_id: TraceId | None
    progress: Progress | None
    result: AnyJson
    error: Error | None
    history: list[HistoryRow]
    corrupt: Corrupt | UnsetType = UNSET

    def describe_attempts(self, of: str = " of ") -> str:
        """Return how many attempts there were of how many: `2 of 4`.

        Attempts that crashed or were lost are not among those that are allowed: `3 (3 crashes)`.
        """
        uncounted = [(outcome, sum(row.outcome == outcome for row in self.history)) for outcome in ("crashed", "lost")]
        notes = [f"{count} {_NOUNS[outcome][count > 1]}" for outcome, count in uncounted if count]
        if notes:
            return f"{self.attempts} ({', '.join(notes)})"
        allowed = self.max_retries + 1
        return f"{self.attempts}{of}{allowed}" if self.attempts <= allowed else str(self.attempts)


_NOUNS = {"crashed": ("crash", "crashes"), "lost": ("lost", "lost")}


class LogLine(msgspec.Struct):
    """A line that a handler printed or logged."""

    attempt: int
    time: Time
    line: str


class PriorityStats(msgspec.Struct):
    """The waiting jobs of one priority of a queue."""

    waiting: int
    oldest_waiting_age: float


class QueueStats(msgspec.Struct):
    """The figures of one queue. `totals` counts how jobs and attempts have ended."""

    waiting: int
    processing: int
    scheduled: int
    retrying: int
    failed: int
    oldest_waiting_age: float
    priorities: dict[Priority, PriorityStats]
    total_enqueued: int
    total_dequeued: int
    totals: dict[str, int]


class Stats(msgspec.Struct):
    """Statistics of all queues together, and of each."""

    queue_size: int
    total_enqueued: int
    total_dequeued: int
    queues: dict[str, QueueStats]


class ChildView(msgspec.Struct):
    """A child of a worker; `job_id` and the fields after it are None while it is idle. `rss` is in bytes."""

    pid: int
    rss: int
    jobs_done: int
    job_id: JobId | None = None
    job_type: TypeName | None = None
    running_since: Time | None = None


class WorkerView(msgspec.Struct, omit_defaults=True):
    """A live worker. `rss` is in bytes, of the supervisor alone."""

    id: str
    host: str
    pid: int
    version: str
    queues: list[QueueName]
    types: list[TypeName]
    children: list[ChildView]
    jobs_done: int
    rss: int
    started_at: Time
    last_heartbeat: Time
    corrupt: Corrupt = []


class Page(msgspec.Struct):
    """A page of jobs, newest first; `next_cursor` is None on the last one."""

    jobs: list[JobView]
    next_cursor: Cursor | None


class DeadLetterPage(msgspec.Struct):
    """A page of dead letters, newest first; `total_count` is the number of all matches."""

    jobs: list[JobView]
    total_count: int
    next_cursor: Cursor | None


class GroupView(msgspec.Struct, omit_defaults=True):
    """A failure group: dead letters of one type with the same error class and location, in all queues.

    `place` is the innermost frame of the handler's code, None if unknown; `last_job_id` is the latest dead letter.
    """

    group: str
    type: TypeName
    error: str
    #: E.g. `shop/mail.py:42 send`.
    place: str | None
    count: int
    first_seen: Time
    last_seen: Time
    last_job_id: JobId
    queues: list[QueueName]
    corrupt: Corrupt = []


class GroupPage(msgspec.Struct):
    """Failure groups, largest first; `total_count` is the number of all groups."""

    groups: list[GroupView]
    total_count: int


class StartedRedrive(NamedTuple):
    """A gradual redrive that was started: its id, "" when no dead letter matches; how many jobs it retries in all."""

    redrive_id: str
    total: int

    @property
    def retry_id(self) -> str:
        """Deprecated: use `redrive_id`."""
        warn("retry_id", "redrive_id")
        return self.redrive_id


class RedriveView(msgspec.Struct, omit_defaults=True):
    """Dead letters of one queue that are redriven gradually: `canary` of them first, the rest at `rate`.

    `status` is canary, running, finished or stopped; `reason` is why it was stopped.
    """

    redrive_id: str
    queue: QueueName
    status: str
    #: The total number of jobs to retry, and how many have been retried.
    total: int
    retried: int
    canary: int
    #: Ids of the canary's jobs.
    canaries: list[JobId]
    #: E.g. `5/s`, None for unlimited.
    rate: RateText | None
    type: TypeName | None
    error: str | None
    group: str | None
    started_at: Time
    finished_at: Time | None
    reason: str | None
    corrupt: Corrupt = []

    @property
    def retry_id(self) -> str:
        """Deprecated: use `redrive_id`."""
        warn("retry_id", "redrive_id")
        return self.redrive_id


class LimitView(msgspec.Struct, omit_defaults=True):
    """A limited, paused or throttled type in one queue. `origin` is api, or handler if declared in code."""

    type: TypeName
    queue: QueueName
    rate: RateText | None
    burst: float | None
    concurrency: int | None
    running: int
    origin: str | None
    paused: bool
    held_back_for: float
    corrupt: Corrupt = []


class ScheduleView(msgspec.Struct, omit_defaults=True):
    """A schedule. `next_run_at` is None while it is paused; `origin` is api, or handler if declared in code."""

    name: ScheduleName
    cron_expression: str
    timezone: str
    next_run_at: Time | None
    last_job_id: JobId | None
    paused: bool
    missed: str
    overlap: str
    type: TypeName
    payload: JsonObject
    priority: Priority
    queue: QueueName
    max_retries: int | None
    timeout: Duration | None
    expires_in: Duration | None
    retention: Duration | None
    retry_for: Duration | None
    limit_key: Key | None
    metadata: JsonObject
    origin: str
    corrupt: Corrupt = []


class PreviewRow(msgspec.Struct):
    """A future run, in UTC and local time; `mark` is gap or fold at changes of daylight saving time."""

    utc: Time
    local: Time
    mark: Annotated[str, Meta(extra_json_schema={"enum": ["", "gap", "fold"]})]


class Reason(msgspec.Struct):
    """A reason why a job isn't running. `code` is stable; `until` is RFC 3339 if a time is known."""

    code: str
    message: str
    until: Time | None = None
