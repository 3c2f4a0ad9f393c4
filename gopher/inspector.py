"""Looks at the queues without moving anything: jobs, figures, workers."""

from collections.abc import Iterable
from typing import Any

import msgspec

from .job_views import FIELDS, is_there, job_view, log_lines
from .registry import Registry
from .replies import explained
from .salvage import NO_NAME, NO_TIME, Salvage, is_corrupt, order, replies, reply, text
from .server import Server
from .server_clock import now_at
from .stats import counters, queue_stats
from .stuck import StuckJob, stuck_jobs
from .times import from_rfc3339
from .views import JobView, LogLine, Stats, WorkerView

_WORKER = msgspec.json.Decoder(WorkerView)


class Inspector:
    """Reads what the queues hold. `registry` has the defaults of jobs that do not say."""

    def __init__(self, server: Server, registry: Registry | None = None) -> None:
        self._server = server
        self._keys = server.keys
        self._registry = registry if registry is not None else Registry()

    def find(self, job_id: str) -> str | None:
        """Return the name of the queue that holds a job, None when there is no such job (any more)."""
        names = self._server.queues()
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for name in names:
                pipe.exists(self._keys.of(name).job(job_id))
            found = pipe.execute() if names else []
        return next((name for name, there in zip(names, found, strict=True) if there), None)

    def job(self, job_id: str) -> JobView | None:
        """Return a job, None when there is none of that id (any more)."""
        return next(iter(self._views((name, job_id) for name in self._server.queues())), None)

    def views(self, places: Iterable[tuple[str, str]]) -> list[JobView]:
        """Return the jobs at (queue, job id), leaving out those that are gone."""
        return list(self._views(places))

    def state(self, queue: str, job_id: str) -> str | None:
        """Return where a job is; the cheapest look there is, for who waits."""
        with explained():
            state = reply(self._server.client.hget, self._keys.of(queue).job(job_id), "state")
        if is_corrupt(state):
            return NO_NAME
        return text(state) if state else None

    def logs(self, job_id: str) -> list[LogLine] | None:
        """Return what the attempts of a job have logged, oldest line first; None when there is no such job."""
        queue = self.find(job_id)
        if queue is None:
            return None
        with explained():
            record = reply(self._server.client.hgetall, self._keys.of(queue).job(job_id))
        if is_corrupt(record):
            return []
        return log_lines(record)

    def stats(self) -> Stats:
        """Return the figures of every queue."""
        with explained():
            queues = {name: queue_stats(self._server.client, self._keys.of(name)) for name in self._server.queues()}
        return Stats(
            queue_size=sum(stats.waiting for stats in queues.values()),
            total_enqueued=sum(stats.total_enqueued for stats in queues.values()),
            total_dequeued=sum(stats.total_dequeued for stats in queues.values()),
            queues=queues,
        )

    def totals(self, queue: str) -> dict[str, int]:
        """Return the counters of a queue by field, e.g. `enqueued:email:high`."""
        with explained():
            totals = self._server.client.hgetall(self._keys.of(queue).totals)
        return counters(totals)

    def histograms(self, queue: str, job_types: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the latency buckets of job types in a queue: `{"email": {"run:3": 12, "run:sum_us": 9000}}`."""
        names = list(job_types)
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(self._keys.of(queue).histogram(name))
            found = pipe.execute() if names else []
        return {name: counters(buckets) for name, buckets in zip(names, found, strict=True)}

    def workers(self) -> list[WorkerView]:
        """Return the live workers, the longest running first."""
        client = self._server.client
        with explained():
            now = self.now()
            ids = [text(entry) for entry in client.zrangebyscore(self._keys.workers, now, "+inf")]
            pipe = client.pipeline(transaction=False)
            for worker_id in ids:
                pipe.hget(self._keys.worker(worker_id), "record")
            records = replies(pipe) if ids else []
        views = [_worker_view(worker_id, record) for worker_id, record in zip(ids, records, strict=True) if record]
        return sorted(views, key=lambda view: view.started_at)

    def overdue(self, limit: int) -> dict[str, float]:
        """Return how late schedules are (s), by name: 0 where the time has not come. Of many, the latest ones."""
        names = self._server.queues()
        with explained():
            now = self.now()
            pipe = self._server.client.pipeline(transaction=False)
            for name in names:
                pipe.zrange(self._keys.of(name).ticks, 0, limit - 1, withscores=True)
            rows = [row for of_queue in (pipe.execute() if names else []) for row in of_queue]
        rows.sort(key=lambda row: row[1])
        return {text(name): max(now - order(due), 0) / 1000 for name, due in rows[:limit]}

    def stuck(self, queue: str) -> list[StuckJob]:
        """Return jobs of a queue that are `processing` for longer than they may run, the latest first."""
        with explained():
            client, keys = self._server.client, self._keys.of(queue)
            return stuck_jobs(client, keys, self._registry, self._server.settings, self.now())

    def schedulers(self) -> int:
        """Return how many schedulers are alive."""
        with explained():
            return int(self._server.client.zcount(self._keys.schedulers, self.now(), "+inf"))

    def now(self) -> int:
        """Return the server's clock in Unix milliseconds."""
        with explained():
            return now_at(self._server.client, self._keys.workers)

    def _views(self, places: Iterable[tuple[str, str]]) -> Iterable[JobView]:
        found = list(places)
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for queue, job_id in found:
                pipe.hmget(self._keys.of(queue).job(job_id), FIELDS)
            records = replies(pipe) if found else []
        for (queue, job_id), values in zip(found, records, strict=True):
            if is_corrupt(values):
                yield job_view(queue, job_id, {}, self._registry, self._server.settings)
                continue
            record = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
            if is_there(record):
                yield job_view(queue, job_id, record, self._registry, self._server.settings)


def _worker_view(worker_id: str, record: Any) -> WorkerView:
    """Return a worker as its record says it; of one that can't be read, that it is there."""
    salvage = Salvage()
    nothing = WorkerView(
        id=worker_id,
        host=NO_NAME,
        pid=0,
        version=NO_NAME,
        queues=[],
        types=[],
        children=[],
        jobs_done=0,
        rss=0,
        started_at=NO_TIME,
        last_heartbeat=NO_TIME,
        corrupt=["record"],
    )
    return salvage.read("record", lambda: _checked(_WORKER.decode(record)), nothing)


def _checked(view: WorkerView) -> WorkerView:
    """Return a worker whose times can be read, and whose numbers can be shown. Raises ValueError or OverflowError."""
    msgspec.json.encode(view)
    for when in (view.started_at, view.last_heartbeat, *(child.running_since for child in view.children)):
        if when is not None:
            from_rfc3339(when)
    return view
