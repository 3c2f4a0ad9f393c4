"""Stuck jobs: `processing` for longer than an attempt can take.

An attempt ends on its timeout, or is killed after a grace period; a lost worker's jobs are requeued within a lease. The
check is bounded: it reads only the oldest jobs of each worker, and envelopes only of jobs that have run for long.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gopher.base.durations import in_seconds
from gopher.base.salvage import is_corrupt, order, replies, text
from gopher.base.states import RUNNING
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.jobs.job import read_envelope
from gopher.jobs.options import resolve
from gopher.queue.keys import QueueKeys

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
    #: Seconds since the start of the attempt.
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
        pipe.hmget(keys.job(job_id), "state", "type", "started")
    for (worker, job_id), record in zip(places, _executed(pipe, places), strict=True):
        state, job_type, started = (None, None, None) if is_corrupt(record) else record
        if text(state or b"") in RUNNING:
            # A corrupt time counts as now.
            yield _Row(worker, job_id, text(job_type or b""), in_seconds(now - order(started, now)))


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
