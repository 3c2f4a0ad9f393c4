"""Dry runs: what would happen to a job if it was submitted now."""

from collections.abc import Sequence

import msgspec

from gopher.base.rates import format_rate
from gopher.base.times import to_rfc3339
from gopher.config.settings import Settings

from .backoff import Backoff
from .fields import Priority, QueueName, RateText, Time, TypeName
from .job import NewJob, decode_envelope
from .limit_view import LimitView
from .models import WorkerView
from .options import resolve
from .registry import Registry

#: How many retries are shown with their delays.
_SHOWN = 10


class DryRun(msgspec.Struct):
    """What would happen to a job. Durations in seconds; `retry_delays` are the maximum delays before each retry."""

    type: TypeName
    queue: QueueName
    priority: Priority
    execute_at: Time
    timeout: float
    max_retries: int
    retry_delays: list[float]
    rate_limit: RateText | None
    concurrency: int | None
    paused: bool
    worker_alive: bool
    dry_run: bool = True


def dry_run(
    job: NewJob,
    settings: Settings,
    registry: Registry | None,
    limits: Sequence[LimitView],
    workers: Sequence[WorkerView],
    now: int,
) -> DryRun:
    """Return what would happen to a job in the current state, at the server's time `now` (Unix ms)."""
    handler = registry.get(job.type) if registry else None
    options = resolve(decode_envelope(job.envelope), handler, settings)
    backoff = handler.backoff if handler else Backoff()
    declared = handler.limit if handler else None
    limit = next((each for each in limits if each.type == job.type and each.queue == job.queue), None)
    declared_rate = format_rate(declared.rate) if declared and declared.rate is not None else None
    return DryRun(
        type=job.type,
        queue=job.queue,
        priority=job.priority,
        execute_at=to_rfc3339(_due(job, now)),
        timeout=options.timeout,
        max_retries=options.max_retries,
        retry_delays=[backoff.ceiling(failures) for failures in range(1, min(options.max_retries, _SHOWN) + 1)],
        rate_limit=limit.rate if limit and limit.rate else declared_rate,
        concurrency=limit.concurrency if limit and limit.concurrency else declared and declared.concurrency,
        paused=bool(limit and limit.paused),
        worker_alive=any(job.queue in worker.queues and job.type in worker.types for worker in workers),
    )


def _due(job: NewJob, now: int) -> float:
    return now + int(job.due) if job.due.startswith("+") else float(job.due or now)
