"""Reads the load of queues: what arrives, what waits and for how long, and how long jobs take.

Nothing is counted for this: the counters and their samples, which plots use, say all of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gopher.base.counters import BY_TYPE, event_of
from gopher.base.durations import in_seconds
from gopher.base.latencies import CPU
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import order, text
from gopher.jobs.stats import QueueStats
from gopher.queue.keys import QueueKeys
from gopher.queue.moves import SERIES
from gopher.queue.store import Server
from gopher.reads.histogram import buckets_of, growth, memory_by_files, memory_of
from gopher.reads.jobs import Inspector
from gopher.reads.stats import stats_of
from gopher.reads.timeline import Sample, is_listed, readable, rows_since
from gopher.server.errors import explained
from gopher.server.round_trips import ask, ask_groups

from .limits import Limits, read_limits
from .service_times import ONE_SECOND, ServiceTimes

#: Seconds whose arrivals are counted, and the fewest of them that say anything.
WINDOW, _LEAST = 120.0, 5.0
#: How many waiting jobs at each end of a list are looked at for their types.
_LOOKED_AT = 50
#: How jobs leave the lists of waiting ones.
_TAKEN = ("dequeued", "expired")


class QueueLoad(NamedTuple):
    """The load of a queue."""

    name: str
    #: Jobs per second that begin to wait and may start, by type: new ones, retries, and those that were scheduled.
    arrivals: Mapping[str, float]
    #: By type, without those that are paused or throttled, or which a limit will not let start in time.
    waiting: Mapping[str, int]
    #: Of the waiting ones: (s, number of jobs), the oldest first.
    ages: Sequence[tuple[float, int]]

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not any(self.arrivals.values())


class TypeTimes(NamedTuple):
    """How long attempts of a type take, and their mean of CPU time (s)."""

    run: ServiceTimes | None
    #: Without that of attempts which were too short to be measured; None if all were.
    cpu: float | None
    #: Class of files -> share of the attempts whose memory was measured.
    classes: Mapping[int, float] = {}


def read_loads(
    server: Server,
    totals: Mapping[str, Mapping[str, int]],
    times: Mapping[str, TypeTimes],
    within: float,
    now: int,
) -> list[QueueLoad]:
    """Return the load of each queue, of which `totals` are the counters; `now` is the server's clock (ms)."""
    names = list(totals)
    keys = [server.keys.for_queue(name) for name in names]
    step = SERIES[0][0]
    with explained():
        stats = stats_of(server.client, keys, now)
        rows = rows_since(server, names, step, now - round(WINDOW * 1000)) if names else []
        parked = ask(server.client, [("HVALS", each.parked_jobs) for each in keys])
        limits = read_limits(server.client, keys, now)
        busy = [name for name in names if stats[name].waiting and stats[name].paused_for is None]
        heads = dict(zip(busy, _some_waiting(server, [server.keys.for_queue(name) for name in busy]), strict=True))
    loads = []
    for at, name in enumerate(names):
        if stats[name].paused_for is not None:
            loads.append(QueueLoad(name, {}, {}, ()))
            continue
        throttled = sum(max(order(each), 0) for each in parked[at] or ())
        found = _Found(totals[name], readable(rows[at]), stats[name], heads.get(name, ()), throttled, limits[at])
        loads.append(_load(name, found, times, within, now))
    return loads


class _Found(NamedTuple):
    """What was read of a queue."""

    totals: Mapping[str, int]
    samples: Sequence[Sample]
    stats: QueueStats
    #: Some of the waiting jobs that are not throttled: type, and since when it waits (ms).
    heads: Sequence[tuple[str, int]]
    throttled: int
    limits: Limits


def _load(name: str, found: _Found, times: Mapping[str, TypeTimes], within: float, now: int) -> QueueLoad:
    resting = found.limits.resting
    flows = _flows(found.samples, now, found.totals, found.stats.waiting, resting)
    grown = _grown(found.samples, found.totals, "enqueued", "retried")
    shares = Counter(job_type for job_type, _ in found.heads) or grown
    waiting = _whole(max(found.stats.waiting - found.throttled - resting, 0), shares)
    arrivals = _shared_out(_rate(flows), grown or _by_type(found.totals, "enqueued"))
    for job_type, limit in found.limits.types.items():
        if limit.has_keys and found.throttled and job_type in arrivals:
            # How many of them the limits of the keys let start is not known but by what has started.
            arrivals[job_type] = min(arrivals[job_type], _started(job_type, found, now))
        run = times[job_type].run if job_type in times else None
        waiting[job_type], arrivals[job_type] = limit.bounded(
            waiting.get(job_type, 0), arrivals.get(job_type, 0.0), run or ONE_SECOND, within
        )
    waiting = {job_type: count for job_type, count in waiting.items() if count}
    since = min((since for job_type, since in found.heads if job_type in waiting), default=None)
    oldest = found.stats.oldest_waiting_age if since is None else in_seconds(max(now - since, 0))
    arrivals = {job_type: rate for job_type, rate in arrivals.items() if rate}
    return QueueLoad(name, arrivals, waiting, _ages(flows, sum(waiting.values()), oldest))


def _started(job_type: str, found: _Found, now: int) -> float:
    """Return how many jobs of a type have started per second."""
    seconds = (now - found.samples[0].at) / 1000 if found.samples else 0.0
    return _grown(found.samples, found.totals, "dequeued").get(job_type, 0) / max(seconds, _LEAST)


def busiest(totals: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the names of queues by how many jobs each has been given, the most first."""
    counts = {name: _by_type(of_queue, "enqueued").total() for name, of_queue in totals.items()}
    return sorted(counts, key=lambda name: (-counts[name], name))


def read_times(inspector: Inspector, totals: Mapping[str, Mapping[str, int]]) -> dict[str, TypeTimes]:
    """Return how long jobs of each type take, by the histograms of these queues."""
    wanted = {name: list(_by_type(of_queue, "dequeued")) for name, of_queue in totals.items()}
    sums: dict[str, Counter[str]] = {}
    for histograms in inspector.all_histograms(wanted).values():
        for name, fields in histograms.items():
            sums.setdefault(name, Counter()).update(fields)
    return {
        name: TypeTimes(
            ServiceTimes.of_histogram(buckets_of(fields, "run"), fields.get("run:sum_us", 0)),
            _cpu(fields),
            _classes(fields),
        )
        for name, fields in sums.items()
    }


def _cpu(fields: Mapping[str, int]) -> float | None:
    attempts, measured = sum(buckets_of(fields, "run")), sum(buckets_of(fields, CPU.name))
    # Of all attempts: the mean of the longer ones may be more than all take on average.
    return round(fields.get(f"{CPU.name}:sum_us", 0) / 1e6 / attempts, 6) if attempts and measured else None


def _classes(fields: Mapping[str, int]) -> dict[int, float]:
    count = memory_of(fields).count
    return {each: found.count / count for each, found in memory_by_files(fields).items()} if count else {}


def _flows(
    samples: Sequence[Sample], now: int, totals: Mapping[str, int], waiting: int, resting: int
) -> list[tuple[float, float]]:
    """Return how many jobs began to wait in each step, the latest first: (s ago when it began, number).

    Those that were taken, and by how much more wait than before: so retries count, and jobs that were scheduled. As far
    as more wait because tenants have reached a limit, whose jobs are `resting`, they don't count.
    """
    sums: Counter[str] = Counter()
    for field, count in totals.items():
        sums[event_of(field)] += count
    flows = []
    later: tuple[int, Mapping[str, int], int] = (now, sums, waiting)
    for sample in reversed(samples):
        at, after, held = later
        if (seconds := (at - sample.at) / 1000) <= 0:
            continue
        taken = sum(growth(after.get(event, 0), sample.counted.get(event, 0)) for event in _TAKEN)
        ago = (now - sample.at) / 1000
        # Of a step that began before the window, only the part within it.
        part = min(1.0, max(WINDOW - (ago - seconds), 0.0) / seconds)
        more = held - sample.gauges[0]
        refused = min(max(more, 0), resting)
        resting -= refused
        flows.append((min(ago, WINDOW), max(taken + more - refused, 0) * part))
        later = (sample.at, sample.counted, sample.gauges[0])
    return flows


def _rate(flows: Sequence[tuple[float, float]]) -> float:
    return sum(jobs for _, jobs in flows) / flows[-1][0] if flows and flows[-1][0] >= _LEAST else 0.0


def _ages(flows: Sequence[tuple[float, float]], waiting: int, oldest: float) -> list[tuple[float, int]]:
    """Return the ages of the waiting jobs: those that came last still wait."""
    found: list[tuple[float, int]] = []
    left = waiting
    for ago, jobs in flows:
        if (some := min(round(jobs), left)) > 0:
            found.append((min(ago, oldest), some))
            left -= some
    return list(reversed([*found, *([(oldest, left)] if left else [])]))


def _grown(samples: Sequence[Sample], totals: Mapping[str, int], *events: str) -> dict[str, int]:
    """Return how often an event happened to jobs of each type since the first sample."""
    found: Counter[str] = Counter()
    for event in events:
        for job_type, count in _by_type(totals, event).items():
            before = samples[0].types if samples else {}
            if is_listed(job_type, before):
                found[job_type] += growth(count, before.get(job_type, {}).get(event, 0))
    return {name: count for name, count in found.items() if count}


def _by_type(totals: Mapping[str, int], event: str) -> Counter[str]:
    assert event in BY_TYPE
    counts: Counter[str] = Counter()
    for field, count in totals.items():
        name, _, rest = field.partition(":")
        if name == event:
            counts[rest.partition(":")[0]] += count
    return counts


def _some_waiting(server: Server, keys: Sequence[QueueKeys]) -> list[list[tuple[str, int]]]:
    """Return some waiting jobs of each queue, from both ends of its lists: type, and since when (ms)."""
    ends = ((0, _LOOKED_AT - 1), (-_LOOKED_AT, -1))
    asked = [[("LRANGE", each.pending(name), *end) for name in PRIORITIES for end in ends] for each in keys]
    rings = [[("LRANGE", each.ring(name), -_LOOKED_AT, -1) for name in PRIORITIES] for each in keys]
    found = ask_groups(server.client, asked)
    of_tenants = ask_groups(server.client, rings)
    asked = [
        [
            ("LRANGE", each.pending_of(name, text(tenant)), -1, -1)
            for name, tenants in zip(PRIORITIES, ring, strict=True)
            for tenant in tenants
            if tenant
        ]
        for each, ring in zip(keys, of_tenants, strict=True)
    ]
    found = [[*some, *more] for some, more in zip(found, ask_groups(server.client, asked), strict=True)]
    ids = [{text(job_id) for of_list in lists for job_id in of_list} for lists in found]
    fields = ("type", "since")
    records = ask_groups(
        server.client,
        [[("HMGET", each.job(job_id), *fields) for job_id in some] for each, some in zip(keys, ids, strict=True)],
    )
    return [[(text(name), order(since)) for name, since in of_queue if name and since] for of_queue in records]


def _shared_out(rate: float, shares: Mapping[str, int]) -> dict[str, float]:
    total = sum(shares.values())
    return {name: rate * count / total for name, count in shares.items() if rate} if total else {}


def _whole(count: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Share out a number of jobs, in whole ones."""
    total, left, found = sum(shares.values()), count, dict[str, int]()
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        found[name] = min(-(-count * share // total), left)
        left -= found[name]
    return {name: some for name, some in found.items() if some} or ({"": count} if count else {})
