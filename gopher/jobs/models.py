"""The models of jobs, queues, workers and schedules that the API, CLI and clients return.

Times are RFC 3339 in UTC, durations and ages seconds.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.renamed import warn
from gopher.base.states import State
from gopher.config.key_kinds import Role

from .attempts import Error, HistoryRow
from .callbacks import Callback
from .fields import (
    AnyJson,
    BatchId,
    Duration,
    JobId,
    JsonObject,
    Key,
    Owner,
    Priority,
    QueueName,
    RateText,
    ScheduleName,
    Status,
    Time,
    TypeName,
    Version,
    WorkerState,
)
from .files import SentFile

Progress = Annotated[
    msgspec.Raw,
    Meta(
        description="Progress of a running job.",
        examples=[{"fraction": 0.5, "message": "decoding"}],
        extra_json_schema={"type": "object"},
    ),
]
TraceId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", examples=["4bf92f3577b34da6a3ce929d0e0e4736"])]
Cursor = Annotated[str, Meta(description="Start of the next page, to be passed as `cursor`.")]
Corrupt = Annotated[
    list[str],
    Meta(description="Fields whose stored values can't be read; omitted if there are none.", examples=[["execute_at"]]),
]
#: Includes `corrupt` for jobs whose state can't be read.
ShownStatus = Annotated[str, Meta(examples=[State.PENDING], extra_json_schema={"enum": [*State, "corrupt"]})]


class Accepted(msgspec.Struct, omit_defaults=True):
    """A submitted job. With `duplicate`, it is an earlier one with the same unique key; with `replaced`, it is that one
    with the payload of this submission."""

    job_id: JobId
    status: Status
    created_at: Time
    type: TypeName
    queue: QueueName
    priority: Priority
    duplicate: bool = False
    replaced: bool = False


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
    #: Whether each `limit_key` has such a limit of its own.
    limit_per_key: bool = False
    result_schema: dict[str, Any] | None = None
    tags: list[Key] = []
    #: When their submissions are acknowledged; None is the default.
    durability: str | None = None
    #: Whether its running jobs are frozen while jobs of high priority need their places.
    preemptible: bool = False


class MemoryWait(msgspec.Struct):
    """For how much memory (bytes) a job waits in its worker, or the last attempt has waited before it started."""

    needs: int
    since: Time
    until: Time | None


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
    tags: list[Key] = []
    callback: Callback | UnsetType = UNSET
    #: The uploads that it was submitted with, by the names that its handler knows.
    files: dict[str, SentFile] | UnsetType = UNSET
    #: That it belongs to, or that it is the callback of.
    batch: BatchId | UnsetType = UNSET
    attempts: int
    #: How many of them crashed, or were lost with their worker: `max_retries` does not count those.
    crashes: int | UnsetType = UNSET
    lost: int | UnsetType = UNSET
    max_retries: int
    timeout: float
    created_at: Time
    execute_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    duration: float | None
    worker: str | None
    memory_wait: MemoryWait | UnsetType = UNSET
    owner: Owner = ""
    tenant: Annotated[str, Meta(description='Tenant of the job, "" if it has none.', examples=["customer:42"])] = ""
    #: The job that it is a copy of, and the latest copies of it.
    copied_from: JobId | UnsetType = UNSET
    copies: list[JobId] | UnsetType = UNSET
    #: Its trace id.
    trace_id: TraceId | None
    progress: Progress | None
    result: AnyJson
    error: Error | None
    history: list[HistoryRow]
    corrupt: Corrupt | UnsetType = UNSET

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API does, with everything decoded: for `jsonify`, `JsonResponse` and templates."""
        decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return decoded

    def describe_attempts(self, of: str = " of ") -> str:
        """Return how many attempts there were of how many: `2 of 4`.

        Attempts that crashed or were lost are not among those that are allowed: `3 (3 crashes)`.
        """
        crashes, lost = self.crashes or 0, self.lost or 0
        counted = ((crashes, "crash" if crashes == 1 else "crashes"), (lost, "lost"))
        notes = [f"{count} {noun}" for count, noun in counted if count]
        if notes:
            return f"{self.attempts} ({', '.join(notes)})"
        allowed = self.max_retries + 1
        return f"{self.attempts}{of}{allowed}" if self.attempts <= allowed else str(self.attempts)


class LogLine(msgspec.Struct):
    """A line that a handler printed or logged."""

    attempt: int
    time: Time
    line: str


class ChildView(msgspec.Struct):
    """A child of a worker; `job_id`, `job_type` and `running_since` are None while it is idle.

    `rss` is its resident memory in bytes, including all that it shares. `pss` counts what is shared by its share; it is
    None where the system does not tell.
    """

    pid: int
    rss: int
    jobs_done: int
    job_id: JobId | None = None
    job_type: TypeName | None = None
    running_since: Time | None = None
    pss: int | None = None
    #: Since when its job is frozen, so that another one runs in its place; omitted if it is not.
    frozen_since: Time | UnsetType = UNSET


class WorkerMemory(msgspec.Struct):
    """How a worker admits jobs by memory, in bytes: of `limit`, jobs may use `room` together, of which `free` is left.

    `held` are jobs that wait for memory. `needs` is what the largest jobs of a type need, also by class of files
    (`transcode/17`), without those that need very little.
    """

    limit: int
    room: int
    used: int
    free: int
    held: list[JobId] = []
    needs: dict[str, int] = {}


class WorkerView(msgspec.Struct, omit_defaults=True):
    """A live worker. `rss` and `pss` are in bytes, of the supervisor alone."""

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
    #: A fingerprint of its source code, "" for an earlier release.
    build: str = ""
    #: An id of the store for files that it uses; "" for a folder without files.
    store: str = ""
    state: WorkerState = "running"
    pss: int | None = None
    #: How many cores it may use, 0 for an earlier release; and its name on the platform, such as Heroku's worker.1.
    cores: int = 0
    process: str = ""
    #: None if it starts jobs whatever they need.
    admission: WorkerMemory | None = None
    corrupt: Corrupt = []

    @property
    def memory(self) -> int:
        """The memory of the worker with its children: proportional if known, else resident, which counts too much."""
        known = [self.pss, *(child.pss for child in self.children)]
        if None in known:
            return self.rss + sum(child.rss for child in self.children)
        return sum(size or 0 for size in known)


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
    canaries: list[JobId]
    rate: RateText | None
    type: TypeName | None
    error: str | None
    group: str | None
    started_at: Time
    finished_at: Time | None
    reason: str | None
    tenant: str | None = None
    corrupt: Corrupt = []

    @property
    def retry_id(self) -> str:
        """Deprecated: use `redrive_id`."""
        warn("retry_id", "redrive_id")
        return self.redrive_id


class ScheduleView(msgspec.Struct, omit_defaults=True):
    """A schedule. `next_run_at` is None while it is paused; `origin` is api, or handler if declared in code.

    `version` differs after each change of its definition.
    """

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
    tags: list[Key] = []
    callback: Callback | None = None
    tenant: Key = ""
    version: Version = ""
    corrupt: Corrupt = []


class SchedulePage(msgspec.Struct, omit_defaults=True):
    """A page of schedules, by name; the last one has no `next_cursor`."""

    # Clients of the release before read an answer with nothing else.
    schedules: list[ScheduleView]
    next_cursor: Cursor | None = None


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
