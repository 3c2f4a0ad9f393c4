"""What the queues hold as people and programs are shown it: the shapes of the API's and the CLI's answers.

Times are RFC 3339 in UTC, durations and ages seconds.
"""

from typing import Any

import msgspec


class Accepted(msgspec.Struct, omit_defaults=True):
    """A job that was submitted. With `duplicate` it is an earlier one with the same unique key."""

    job_id: str
    status: str
    created_at: str
    type: str
    queue: str
    priority: str
    duplicate: bool = False


class TypeView(msgspec.Struct):
    """A job type: what its payload has to be, and what its jobs have when they do not say. `timeout` in seconds."""

    name: str
    description: str
    payload_schema: dict[str, Any]
    timeout: float
    max_retries: int
    rate_limit: str | None
    concurrency: int | None


class HistoryRow(msgspec.Struct):
    """One attempt: completed, failed, crashed, timeout, lost (its worker died), released or running."""

    attempt: int
    outcome: str
    worker: str | None
    started_at: str | None
    ended_at: str | None
    error: dict[str, Any] | None


class JobView(msgspec.Struct):
    """A job. `payload`, `metadata` and `result` are given back as they were stored, to the digit."""

    job_id: str
    type: str
    status: str
    queue: str
    priority: str
    payload: msgspec.Raw
    metadata: msgspec.Raw
    attempts: int
    max_retries: int
    timeout: float
    created_at: str
    execute_at: str | None
    started_at: str | None
    finished_at: str | None
    duration: float | None
    worker: str | None
    #: `{"fraction": 0.5, "message": "decoding"}`
    progress: msgspec.Raw | None
    result: msgspec.Raw
    #: `{"type": "ValueError", "message": "...", "traceback": "...", "permanent": false}`
    error: msgspec.Raw | None
    history: list[HistoryRow]


class LogLine(msgspec.Struct):
    """A line that a handler printed or logged."""

    attempt: int
    time: str
    line: str


class PriorityStats(msgspec.Struct):
    """What waits at one priority of a queue."""

    waiting: int
    oldest_waiting_age: float


class QueueStats(msgspec.Struct):
    """The figures of one queue. `totals` counts completed, failed, retried, cancelled, expired."""

    waiting: int
    processing: int
    scheduled: int
    retrying: int
    failed: int
    oldest_waiting_age: float
    priorities: dict[str, PriorityStats]
    total_enqueued: int
    total_dequeued: int
    totals: dict[str, int]


class Stats(msgspec.Struct):
    """The figures of all queues together, and of each."""

    queue_size: int
    total_enqueued: int
    total_dequeued: int
    queues: dict[str, QueueStats]


class ChildView(msgspec.Struct):
    """One child of a worker; `job_id` and what follows it are None while it is idle. `rss` in bytes."""

    pid: int
    rss: int
    jobs_done: int
    job_id: str | None = None
    job_type: str | None = None
    running_since: str | None = None


class WorkerView(msgspec.Struct):
    """A live worker. `rss` in bytes, of the supervisor alone."""

    id: str
    host: str
    pid: int
    version: str
    queues: list[str]
    types: list[str]
    children: list[ChildView]
    jobs_done: int
    rss: int
    started_at: str
    last_heartbeat: str


class Page(msgspec.Struct):
    """A page of jobs, newest first; `next_cursor` is None on the last one."""

    jobs: list[JobView]
    next_cursor: str | None


class DeadLetterPage(msgspec.Struct):
    """A page of dead letters, newest first; `total_count` is of all that fit, on this page or not."""

    jobs: list[JobView]
    total_count: int
    next_cursor: str | None


class GroupView(msgspec.Struct):
    """Dead letters of one type that died of the same class of error at the same place, in all queues.

    `place` is the innermost frame of the handler's code, None where nobody can say; the last of them is `last_job_id`.
    """

    group: str
    type: str
    error: str
    #: E.g. `shop/mail.py:42 send`.
    place: str | None
    count: int
    first_seen: str
    last_seen: str
    last_job_id: str
    queues: list[str]


class GroupPage(msgspec.Struct):
    """The largest groups of dead letters first; `total_count` is of all groups, shown here or not."""

    groups: list[GroupView]
    total_count: int


class RetryView(msgspec.Struct):
    """Dead letters of one queue that are retried by and by: `canary` of them first, the rest at `rate`.

    `status` is canary (the first ones are under way), running, finished or stopped; `reason` says why it was stopped.
    """

    retry_id: str
    queue: str
    status: str
    #: How many went or will go back, and how many have.
    total: int
    retried: int
    canary: int
    #: Ids of the first ones.
    canaries: list[str]
    #: E.g. `5/s`, None for as fast as it goes.
    rate: str | None
    type: str | None
    error: str | None
    group: str | None
    started_at: str
    finished_at: str | None
    reason: str | None


class LimitView(msgspec.Struct):
    """A type that is limited, paused or held back, in one queue. `origin` is api, or handler for the code's own."""

    type: str
    queue: str
    rate: str | None
    burst: float | None
    concurrency: int | None
    running: int
    origin: str | None
    paused: bool
    held_back_for: float


class ScheduleView(msgspec.Struct):
    """A schedule. `next_run_at` is None while it is paused; `origin` is api, or handler for the code's own."""

    name: str
    cron_expression: str
    timezone: str
    next_run_at: str | None
    last_job_id: str | None
    paused: bool
    missed: str
    overlap: str
    type: str
    payload: msgspec.Raw
    priority: str
    queue: str
    max_retries: int | None
    timeout: str | float | None
    expires_in: str | float | None
    retention: str | float | None
    retry_for: str | float | None
    limit_key: str | None
    metadata: msgspec.Raw
    origin: str


class PreviewRow(msgspec.Struct):
    """A time to come: in UTC and on the wall; `mark` is gap or fold where daylight saving plays a part."""

    utc: str
    local: str
    mark: str


class Reason(msgspec.Struct):
    """One reason why a job isn't running. `code` is stable; `until` is RFC 3339 where a time is known."""

    code: str
    message: str
    until: str | None = None
