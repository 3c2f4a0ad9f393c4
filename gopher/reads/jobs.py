"""Reads jobs, statistics and workers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from gopher.base.durations import in_seconds
from gopher.base.salvage import NO_NAME, NO_TIME, Salvage, is_corrupt, order, replies, reply, text
from gopher.base.times import from_rfc3339
from gopher.jobs.models import JobView, LogLine, WorkerView
from gopher.jobs.owners import whose
from gopher.jobs.registry import Registry
from gopher.jobs.stats import Stats
from gopher.queue.keys import QueueKeys
from gopher.queue.search import queues_with
from gopher.queue.store import Server
from gopher.queue.survey import CURRENT, EARLIER, histograms_of, totals_of
from gopher.server.clock import now_at
from gopher.server.errors import explained
from gopher.server.round_trips import ask, ask_groups, ask_rows

from .histogram import with_earlier
from .job_views import FIELDS, is_there, job_view, log_lines
from .stats import counters, stats_of, sum_totals
from .stuck import StuckJob, stuck_jobs

#: The key of all removed queues in statistics by queue: no queue can have this name.
FORGOTTEN = ""

_WORKER = msgspec.json.Decoder(WorkerView)


class Place(NamedTuple):
    """Where a job is, and whose: what decides who may access it."""

    queue: str
    type: str
    owner: str
    tenant: str = ""


class Inspector:
    """Reads queues. `registry` has the default options of jobs."""

    def __init__(self, server: Server, registry: Registry | None = None) -> None:
        self._server = server
        self._keys = server.keys
        self._registry = registry if registry is not None else Registry()

    def find(self, job_id: str) -> str | None:
        """Return the name of a job's queue, None if there is no such job."""
        for names in self._where_to_look(job_id):
            for name in self._queues_with(job_id, names):
                return name
        return None

    def job(self, job_id: str) -> JobView | None:
        """Return a job, None if there is no such job."""
        for names in self._where_to_look(job_id):
            # Of many, first those that have it: reading it from each would be a command for each.
            likely = names if len(names) == 1 else self._queues_with(job_id, names)
            for view in self._views((name, job_id) for name in likely):
                return view
        return None

    def place(self, job_id: str, is_visible: Callable[[Place], bool]) -> Place | None:
        """Return where a job is, None if there is no such job that is visible to the caller.

        For a job that is not visible, the server gets the same commands as for a missing one, so that even the time of
        the answer does not distinguish them.
        """
        for names in self._where_to_look(job_id):
            likely = names if len(names) == 1 else self._queues_with(job_id, names, alike=True) or names[:1]
            with explained():
                pipe = self._server.client.pipeline(transaction=False)
                for name in likely:
                    pipe.hmget(self._keys.for_queue(name).job(job_id), "type", "envelope")
                records = replies(pipe)
            for name, record in zip(likely, records, strict=True):
                if not is_corrupt(record) and any(record):
                    owned = whose(record[1] or b"")
                    place = Place(name, text(record[0] or b""), owned.owner, owned.tenant)
                    if is_visible(place):
                        return place
        return None

    def _queues_with(self, job_id: str, names: Sequence[str], *, alike: bool = False) -> list[str]:
        with explained():
            return queues_with(self._server, names, lambda keys: keys.job(job_id), alike=alike)

    def _where_to_look(self, job_id: str) -> Iterator[list[str]]:
        with explained():
            yield from self._server.names.where_to_look(job_id)

    def views(self, places: Iterable[tuple[str, str]]) -> list[JobView]:
        """Return the jobs at (queue, job id), without missing ones."""
        return list(self._views(places))

    def state(self, queue: str, job_id: str) -> str | None:
        """Return a job's state; the cheapest read, for polling."""
        with explained():
            state = reply(self._server.client.hget, self._keys.for_queue(queue).job(job_id), "state")
        if is_corrupt(state):
            return NO_NAME
        return text(state) if state else None

    def states(self, places: Sequence[tuple[str, str]]) -> list[str | None]:
        """Return the state of each of the jobs at (queue, job id), as `state` does."""
        with explained():
            words = [("HGET", self._keys.for_queue(queue).job(job_id), "state") for queue, job_id in places]
            found = ask_rows(self._server.client, words)
        return [NO_NAME if is_corrupt(state) else text(state) if state else None for state in found]

    def logs(self, job_id: str) -> list[LogLine] | None:
        """Return the log of a job's attempts, oldest line first; None if there is no such job."""
        queue = self.find(job_id)
        if queue is None:
            return None
        with explained():
            record = reply(self._server.client.hgetall, self._keys.for_queue(queue).job(job_id))
        if is_corrupt(record):
            return []
        return log_lines(record)

    def stats(self) -> Stats:
        """Return the statistics of all queues; the sums include removed queues."""
        names = self._server.queues()
        with explained():
            now = self.now() if names else 0
            queues = stats_of(self._server.client, list(map(self._keys.for_queue, names)), now)
            (counted,) = ask(self._server.client, [("HGETALL", self._keys.forgotten)])
        forgotten = sum_totals(totals_of(counted))
        return Stats(
            queue_size=sum(stats.waiting for stats in queues.values()),
            total_enqueued=sum(stats.total_enqueued for stats in queues.values()) + forgotten.get("enqueued", 0),
            total_dequeued=sum(stats.total_dequeued for stats in queues.values()) + forgotten.get("dequeued", 0),
            queues=queues,
        )

    def totals(self, queue: str) -> dict[str, int]:
        """Return the counters of a queue by field, e.g. `enqueued:email:high`."""
        with explained():
            return counters(ask(self._server.client, [("HGETALL", self._keys.for_queue(queue).totals)])[0])

    def totals_of(self, queues: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return the counters of some queues, in few round trips."""
        with explained():
            commands = [[("HGETALL", self._keys.for_queue(name).totals)] for name in queues]
            found = ask_groups(self._server.client, commands)
        return {name: counters(totals) for name, (totals,) in zip(queues, found, strict=True)}

    def all_totals(self) -> dict[str, dict[str, int]]:
        """Return the counters of each queue, and of removed queues under FORGOTTEN."""
        names = self._server.queues()
        with explained():
            commands = [[("HGETALL", self._keys.for_queue(name).totals)] for name in names]
            *found, [forgotten] = ask_groups(self._server.client, [*commands, [("HGETALL", self._keys.forgotten)]])
        return {
            **{name: counters(totals) for name, (totals,) in zip(names, found, strict=True)},
            FORGOTTEN: counters(totals_of(forgotten)),
        }

    def histograms(self, queue: str, job_types: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the latency buckets of job types in a queue: `{"email": {"run:3": 12, "run:sum_us": 9000}}`."""
        return self.all_histograms({queue: job_types})[queue]

    def all_histograms(self, wanted: Mapping[str, Iterable[str]]) -> dict[str, dict[str, dict[str, int]]]:
        """Return the latency buckets of job types by queue, as `all_totals` names them."""
        types = {queue: list(job_types) for queue, job_types in wanted.items()}
        with explained():
            forgotten = ask(self._server.client, [("HGETALL", self._keys.forgotten)])[0] if FORGOTTEN in types else {}
            commands = [
                [
                    ("HGETALL", key(name))
                    for name in (names if queue != FORGOTTEN else ())
                    for key in _histogram_keys(self._keys.for_queue(queue))
                ]
                for queue, names in types.items()
            ]
            found = ask_groups(self._server.client, commands)
        own = {name for names in types.values() for name in names}
        earlier, current = (histograms_of(forgotten, own, head) for head in (EARLIER, CURRENT))
        return {
            queue: {name: with_earlier(current[name], earlier[name]) for name in names}
            if queue == FORGOTTEN
            else {
                name: with_earlier(counters(buckets), counters(before))
                for name, before, buckets in zip(names, rows[0::2], rows[1::2], strict=True)
            }
            for (queue, names), rows in zip(types.items(), found, strict=True)
        }

    def workers(self) -> list[WorkerView]:
        """Return the live workers, longest running first."""
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
        """Return how late schedules are (s), by name: 0 if not due. If there are many, only the most overdue ones."""
        names = self._server.queues()
        with explained():
            now = self.now()
            commands = [("ZRANGE", self._keys.for_queue(name).ticks, 0, limit - 1, "WITHSCORES") for name in names]
            heads = ask(self._server.client, commands)
        rows = [(order(due), name) for flat in heads for name, due in zip(flat[0::2], flat[1::2], strict=True)]
        return {text(name): in_seconds(max(now - due, 0)) for due, name in sorted(rows)[:limit]}

    def stuck(self, queue: str) -> list[StuckJob]:
        """Return jobs of a queue that have been `processing` for longer than allowed, most overdue first."""
        with explained():
            client, keys = self._server.client, self._keys.for_queue(queue)
            return stuck_jobs(client, keys, self._registry, self._server.settings, self.now())

    def schedulers(self) -> int:
        """Return the number of live schedulers."""
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
                pipe.hmget(self._keys.for_queue(queue).job(job_id), FIELDS)
            records = replies(pipe) if found else []
        now = cache(self.now)
        for (queue, job_id), values in zip(found, records, strict=True):
            if is_corrupt(values):
                yield job_view(queue, job_id, {}, self._registry, self._server.settings, now)
                continue
            record = {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}
            if is_there(record):
                yield job_view(queue, job_id, record, self._registry, self._server.settings, now)


def _histogram_keys(keys: QueueKeys) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Return the keys of a type's histograms: of earlier versions, and this one."""
    return keys.histogram, keys.latencies


def _worker_view(worker_id: str, record: Any) -> WorkerView:
    """Return a worker from its record; with substitutes if the record is corrupt."""
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
    """Validate a worker's times and numbers. Raises ValueError or OverflowError."""
    msgspec.json.encode(view)
    for when in (view.started_at, view.last_heartbeat, *(child.running_since for child in view.children)):
        if when is not None:
            from_rfc3339(when)
    for child in view.children:
        if child.frozen_since:
            from_rfc3339(child.frozen_since)
    return view
