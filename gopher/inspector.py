"""Looks at the queues without moving anything: jobs, figures, workers."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .job import Envelope, State, created_ms
from .policy import resolve
from .registry import Registry
from .replies import explained
from .server import Server
from .stats import queue_stats
from .stuck import StuckJob, stuck_jobs
from .times import to_rfc3339
from .trace_context import trace_id
from .views import HistoryRow, JobView, LogLine, Stats, WorkerView

#: The fields of a record that a job's view is made of: all but the logs.
FIELDS = (
    "type state priority since envelope attempts crashes lost token started finished duration due expires "
    "progress result error history cancel"
).split()

_HISTORY = msgspec.json.Decoder(list[dict[str, Any]])
_ENVELOPE = msgspec.json.Decoder(Envelope)
_LOG = msgspec.json.Decoder(list[tuple[int, str]])


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
            state = self._server.client.hget(self._keys.of(queue).job(job_id), "state")
        return state.decode() if state else None

    def logs(self, job_id: str) -> list[LogLine] | None:
        """Return what the attempts of a job have logged, oldest line first; None when there is no such job."""
        queue = self.find(job_id)
        if queue is None:
            return None
        with explained():
            record = self._server.client.hgetall(self._keys.of(queue).job(job_id))
        logs = sorted((int(name[4:]), text) for name, text in record.items() if name.startswith(b"log:"))
        return [LogLine(attempt, to_rfc3339(when), line) for attempt, text in logs for when, line in _LOG.decode(text)]

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
        return {field.decode(): int(count) for field, count in totals.items()}

    def histograms(self, queue: str, job_types: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the latency buckets of job types in a queue: `{"email": {"run:3": 12, "run:sum_us": 9000}}`."""
        names = list(job_types)
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(self._keys.of(queue).histogram(name))
            found = pipe.execute() if names else []
        return {
            name: {field.decode(): int(count) for field, count in buckets.items()}
            for name, buckets in zip(names, found, strict=True)
        }

    def workers(self) -> list[WorkerView]:
        """Return the live workers, the longest running first."""
        client = self._server.client
        with explained():
            now = self.now()
            ids = [entry.decode() for entry in client.zrangebyscore(self._keys.workers, now, "+inf")]
            pipe = client.pipeline(transaction=False)
            for worker_id in ids:
                pipe.hget(self._keys.worker(worker_id), "record")
            records = pipe.execute() if ids else []
        views = [msgspec.json.decode(record, type=WorkerView) for record in records if record]
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
        return {name.decode(): max(now - due, 0.0) / 1000 for name, due in rows[:limit]}

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
            seconds, microseconds = self._server.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _views(self, places: Iterable[tuple[str, str]]) -> Iterable[JobView]:
        found = list(places)
        with explained():
            pipe = self._server.client.pipeline(transaction=False)
            for queue, job_id in found:
                pipe.hmget(self._keys.of(queue).job(job_id), FIELDS)
            records = pipe.execute() if found else []
        for (queue, job_id), values in zip(found, records, strict=True):
            record = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
            if "state" in record:
                yield self._view(queue, job_id, record)

    def _view(self, queue: str, job_id: str, record: Mapping[str, bytes]) -> JobView:
        envelope = _ENVELOPE.decode(record["envelope"])
        job_type = record["type"].decode()
        options = resolve(envelope, self._registry.get(job_type), self._server.settings)
        duration = record.get("duration")
        return JobView(
            job_id=job_id,
            type=job_type,
            status=_status(record),
            queue=queue,
            priority=record["priority"].decode(),
            payload=envelope.payload,
            metadata=envelope.metadata,
            attempts=int(record.get("attempts", 0)),
            max_retries=options.max_retries,
            timeout=options.timeout,
            created_at=to_rfc3339(created_ms(job_id)),
            execute_at=_execute_at(record, envelope),
            started_at=_time(record.get("started")),
            finished_at=_time(record.get("finished")),
            duration=float(duration) / 1000 if duration else None,
            worker=_worker(record),
            owner=envelope.owner,
            trace_id=trace_id(envelope.trace) or None,
            progress=_progress(record),
            result=msgspec.Raw(record.get("result", b"null")),
            error=msgspec.Raw(record["error"]) if "error" in record else None,
            history=_history(record),
        )


def _status(record: Mapping[str, bytes]) -> str:
    state = record["state"].decode()
    expires = record.get("expires")
    if state in (State.PENDING, State.SCHEDULED) and expires and int(expires) <= time.time() * 1000:
        return State.EXPIRED
    return state


def _time(milliseconds: bytes | None) -> str | None:
    return None if milliseconds is None else to_rfc3339(int(milliseconds))


def _progress(record: Mapping[str, bytes]) -> msgspec.Raw | None:
    """Return how far a running job is. The last report before the end says nothing any more."""
    running = record["state"].decode() == State.PROCESSING
    return msgspec.Raw(record["progress"]) if running and "progress" in record else None


def _execute_at(record: Mapping[str, bytes], envelope: Envelope) -> str | None:
    if record["state"].decode() in (State.SCHEDULED, State.RETRYING) and "due" in record:
        return _time(record["due"])
    return to_rfc3339(envelope.execute_at) if envelope.execute_at else None


def _worker(record: Mapping[str, bytes]) -> str | None:
    token = record.get("token")
    return token.decode().rpartition(".")[0] if token else None


def _history(record: Mapping[str, bytes]) -> list[HistoryRow]:
    """Return a row an attempt. A success, or what runs now, is not kept as a row: it is in the record."""
    rows = [
        HistoryRow(
            attempt=int(row["attempt"]),
            outcome=row["outcome"],
            worker=row["worker"],
            started_at=to_rfc3339(row["started_at"]),
            ended_at=to_rfc3339(row["ended_at"]),
            error=row.get("error"),
        )
        for row in _HISTORY.decode(b"[" + record.get("history", b"") + b"]")
    ]
    state = record["state"].decode()
    if state in (State.PROCESSING, State.COMPLETED) and "started" in record:
        outcome = "completed" if state == State.COMPLETED else "running"
        started, ended = _time(record["started"]), _time(record.get("finished"))
        rows.append(HistoryRow(int(record["attempts"]), outcome, _worker(record), started, ended, None))
    return rows
