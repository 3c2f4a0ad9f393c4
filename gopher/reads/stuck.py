"""Stuck jobs: `processing` for longer than an attempt can take.

An attempt ends on its timeout, or is killed after a grace period; a lost worker's jobs are requeued within a lease. The
check is bounded: it reads only the oldest jobs of each worker, and envelopes only of jobs that have run for long.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from gopher.base.durations import in_seconds
from gopher.base.salvage import UNREADABLE, is_corrupt, order, replies, text
from gopher.base.states import RUNNING
from gopher.config.settings import Settings
from gopher.jobs.job import read_envelope
from gopher.jobs.options import resolve
from gopher.jobs.registry import Registry
from gopher.queue.keys import QueueKeys

from .frozen import read_frozen
from .memory_wait import wait_for_memory

#: Maximum number of workers per queue to check, and of jobs per worker.
WORKERS, JOBS = 200, 20


class StuckJob(NamedTuple):
    """A job, the worker that holds it, and how long ago (s) it should have ended."""

    queue: str
    job_id: str
    worker_id: str
    late: float


def stuck_jobs(client: Any, keys: QueueKeys, registry: Registry, settings: Settings, now: int) -> list[StuckJob]:
    """Return the jobs of a queue that should have ended, most overdue first; `now` is the server's (ms)."""
    grace = settings.worker_kill_grace + settings.worker_lease
    rows = [row for row in _running(client, keys, now) if row.running > grace]
    stuck = [
        StuckJob(keys.queue, row.job_id, row.worker_id, row.running - grace - timeout)
        for row, timeout in zip(rows, _timeouts(client, keys, rows, registry, settings), strict=True)
        if row.running > grace + timeout
    ]
    return sorted(stuck, key=lambda job: -job.late)


class _Row(NamedTuple):
    worker_id: str
    job_id: str
    job_type: str
    #: Seconds since the start of the attempt, without those for which it was frozen.
    running: float


def _running(client: Any, keys: QueueKeys, now: int) -> Iterator[_Row]:
    """Yield worker, id, type and running time in seconds of the jobs that workers started first."""
    pipe = client.pipeline(transaction=False)
    pipe.zrange(keys.workers, 0, WORKERS - 1)
    pipe.zrange(keys.fenced, 0, WORKERS - 1)
    workers = [text(each) for found in replies(pipe) if not is_corrupt(found) for each in found]
    for worker in workers:
        pipe.lrange(keys.processing(worker), -JOBS, -1)
    lists = zip(workers, _executed(pipe, workers), strict=True)
    places = [(worker, text(each)) for worker, ids in lists if not is_corrupt(ids) for each in ids]
    for _, job_id in places:
        pipe.hmget(keys.job(job_id), "state", "type", "started", "token", "frozen", "memory_wait")
    for (worker, job_id), record in zip(places, _executed(pipe, places), strict=True):
        state, job_type, started, token, frozen, wait = (None,) * 6 if is_corrupt(record) else record
        if text(state or b"") in RUNNING and not _waits(wait, token):
            # A corrupt time counts as now.
            stopped = _frozen(text(frozen or b""), text(token or b""), now)
            yield _Row(worker, job_id, text(job_type or b""), in_seconds(now - order(started, now) - stopped))


def _frozen(noted: str, token: str, now: int) -> float:
    """Return for how many milliseconds an attempt was frozen."""
    with suppress(*UNREADABLE):
        found = read_frozen(noted, token)
        return found.until(now) if found else 0.0
    return 0.0


def _waits(field: bytes | None, token: bytes | None) -> bool:
    """Return whether a job waits for memory in its worker: it has not started."""
    try:
        wait = wait_for_memory(field, token)
    except UNREADABLE:
        return False
    return wait is not None and wait.until is None


def _timeouts(
    client: Any, keys: QueueKeys, rows: list[_Row], registry: Registry, settings: Settings
) -> Iterator[float]:
    pipe = client.pipeline(transaction=False)
    for row in rows:
        pipe.hget(keys.job(row.job_id), "envelope")
    for row, envelope in zip(rows, _executed(pipe, rows), strict=True):
        yield resolve(read_envelope(envelope or b"{}"), registry.get(row.job_type), settings).timeout


def _executed(pipe: Any, asked: Iterable[object]) -> list[Any]:
    """Return the replies, without a round trip if there are no commands."""
    return replies(pipe) if asked else []
