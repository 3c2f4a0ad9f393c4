"""What can be asked of a Gopher, whichever way one reaches it.

Two classes have this interface: `Client` works on the server itself, `HttpClient` over the API. `gopherctl` asks
nothing else, so that a command does the same both ways.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from .admin.redrives import StartedRetry
from .jobs.dry_run import DryRun
from .jobs.limit import Limit
from .jobs.models import (
    Accepted,
    DeadLetterPage,
    GroupPage,
    JobView,
    LimitView,
    LogLine,
    Page,
    PreviewRow,
    Reason,
    RetryView,
    ScheduleView,
    Stats,
    TypeView,
    WorkerView,
)
from .jobs.schedule import ScheduleSpec
from .jobs.submission import Submission
from .reads.health import Health
from .reads.timeline import Timeline


class Stored(NamedTuple):
    """What became of a submission: the id of the job that stands for it, whether that is an earlier job with
    the same unique key, whether the whole request was a repeat; and of an earlier job its status and priority."""

    job_id: str
    duplicate: bool = False
    replayed: bool = False
    status: str = ""
    priority: str = ""


class DeadLettersInterface(Protocol):
    """The dead letters."""

    def page(
        self,
        *,
        job_type: str | None = None,
        error: str | None = None,
        group: str | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeadLetterPage: ...
    def groups(self, queue: str | None = None, limit: int = 100) -> GroupPage: ...
    def count(
        self,
        job_type: str | None = None,
        error: str | None = None,
        group: str | None = None,
        queue: str | None = None,
    ) -> int: ...
    def retry(self, job_id: str) -> None: ...
    def retry_all(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
    ) -> int: ...
    def retry_gradually(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
        *,
        canary: int = 0,
        rate: str | None = None,
    ) -> StartedRetry: ...
    def retries(self) -> list[RetryView]: ...
    def stop_retry(self, retry_id: str) -> bool: ...
    def discard(self, job_id: str) -> None: ...
    def discard_all(
        self,
        job_type: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        queue: str | None = None,
        group: str | None = None,
    ) -> int: ...


class FlowInterface(Protocol):
    """Limits and pauses."""

    def limits(self) -> list[LimitView]: ...
    def set_limit(self, job_type: str, rate: str | None, burst: float | None, concurrency: int | None) -> Limit: ...
    def clear_limit(self, job_type: str) -> bool: ...
    def pause_queue(self, queue: str) -> bool: ...
    def resume_queue(self, queue: str) -> bool: ...
    def pause_type(self, job_type: str) -> bool: ...
    def resume_type(self, job_type: str) -> bool: ...


class SchedulesInterface(Protocol):
    """The schedules."""

    def put(self, name: str, spec: ScheduleSpec) -> tuple[ScheduleView, str]: ...
    def get(self, name: str) -> ScheduleView: ...
    def all(self) -> list[ScheduleView]: ...
    def delete(self, name: str) -> None: ...
    def pause(self, name: str) -> ScheduleView: ...
    def resume(self, name: str) -> ScheduleView: ...
    def preview(self, name: str, count: int) -> list[PreviewRow]: ...


class Gopher(Protocol):
    """The whole: jobs, and what they are looked after with."""

    def __enter__(self) -> "Gopher": ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None: ...

    @property
    def dead_letters(self) -> DeadLettersInterface: ...
    @property
    def flow(self) -> FlowInterface: ...
    @property
    def schedules(self) -> SchedulesInterface: ...

    def enqueue(self, job_type: str, payload: Any, **options: Any) -> str: ...
    def enqueue_many(self, jobs: Iterable[Mapping[str, Any]]) -> list[str]: ...
    def submit(self, submission: Submission) -> Accepted: ...
    def submit_batch(self, entries: Sequence[bytes], *, idempotency_key: str | None = None) -> list[Stored]: ...
    def dry_run_submission(self, submission: Submission) -> DryRun: ...
    def run_schedule(self, name: str) -> str: ...

    def job(self, job_id: str) -> JobView: ...
    def wait(self, job_id: str, timeout: float | None = None) -> JobView: ...
    def jobs(
        self,
        *,
        status: str | None = None,
        job_type: str | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page: ...
    def logs(self, job_id: str) -> list[LogLine]: ...
    def why(self, job_id: str) -> list[Reason]: ...
    def stats(self) -> Stats: ...
    def timeline(self, window: str | float = "1h", queue: str | None = None) -> Timeline: ...
    def workers(self) -> list[WorkerView]: ...
    def types(self) -> list[TypeView]: ...
    def health(self) -> Health: ...

    def cancel(self, job_id: str) -> str: ...
    def purge(self, queue: str, state: str, progress: Callable[[int], None] = ...) -> int: ...
