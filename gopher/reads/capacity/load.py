"""Reads the load of queues: what arrives, what waits and for how long, and how long jobs take.

Nothing is counted for this: the counters and their samples, which plots use, say all of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gopher.base.counters import BY_TYPE, event_of
from gopher.base.latencies import CPU
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import order, text
from gopher.jobs.stats import QueueStats
from gopher.queue.keys import QueueKeys
from gopher.queue.moves import SERIES
from gopher.queue.store import Server
from gopher.reads.histogram import buckets_of, growth, latency_of
from gopher.reads.jobs import Inspector
from gopher.reads.stats import stats_of
from gopher.reads.timeline import Sample, readable, rows_since
from gopher.server.errors import explained
from gopher.server.round_trips import ask, ask_groups

from .service_times import ServiceTimes

#: Seconds whose arrivals are counted, and the fewest of them that say anything.
WINDOW, _LEAST = 120.0, 5.0
#: How many waiting jobs at each end of a list are looked at for their types.
_LOOKED_AT = 50
#: How jobs leave the lists of waiting ones.
_TAKEN = ("dequeued", "expired")


class QueueLoad(NamedTuple):
    """The load of a queue."""

    name: str
    #: Jobs per second that began to wait, by type: new ones, retries, and those that were scheduled.
    arrivals: Mapping[str, float]
    #: By type, without those that are throttled.
    waiting: Mapping[str, int]
    #: Of the waiting ones: (s, number of jobs), the oldest first.
    ages: Sequence[tuple[float, int]]
    paused: bool = False

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not any(self.arrivals.values())


class TypeTimes(NamedTuple):
    """How long attempts of a type take, and their mean of CPU time (s)."""

    run: ServiceTimes | None
    cpu: float | None


def read_loads(server: Server, totals: Mapping[str, Mapping[str, int]], now: int) -> list[QueueLoad]:
    """Return the load of each queue, of which `totals` are the counters; `now` is the server's clock (ms)."""
    names = list(totals)
    keys = [server.keys.for_queue(name) for name in names]
    step = SERIES[0][0]
    with explained():
        stats = stats_of(server.client, keys, now)
        rows = rows_since(server, names, step, now - round(WINDOW * 1000)) if names else []
        throttled = ask(server.client, [("HVALS", each.parked_jobs) for each in keys])
        busy = [name for name in names if stats[name].waiting]
        types = dict(zip(busy, _waiting_types(server, [server.keys.for_queue(name) for name in busy]), strict=True))
    loads = []
    for at, name in enumerate(names):
        of_queue = stats[name]
        waiting = max(of_queue.waiting - sum(max(order(each), 0) for each in throttled[at] or ()), 0)
        samples = readable(rows[at])
        flows = _flows(samples, now, totals[name], of_queue.waiting)
        grown = _grown(samples, totals[name])
        loads.append(
            QueueLoad(
                name,
                _shared_out(_rate(flows), grown or _by_type(totals[name], "enqueued")),
                _unpaused(_whole(waiting, types.get(name) or grown), of_queue),
                _ages(flows, waiting, of_queue.oldest_waiting_age),
                of_queue.paused_for is not None,
            )
        )
    return loads


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
            latency_of(fields, CPU.name).mean,
        )
        for name, fields in sums.items()
    }


def _flows(samples: Sequence[Sample], now: int, totals: Mapping[str, int], waiting: int) -> list[tuple[float, float]]:
    """Return how many jobs began to wait in each step, the latest first: (s ago when it began, number).

    Those that were taken, and by how much more wait than before: so retries count, and jobs that were scheduled.
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
        flows.append((min(ago, WINDOW), max(taken + held - sample.gauges[0], 0) * part))
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


def _grown(samples: Sequence[Sample], totals: Mapping[str, int]) -> dict[str, int]:
    """Return how many new jobs and retries of each type there were since the first sample."""
    found: Counter[str] = Counter()
    for event in ("enqueued", "retried"):
        for job_type, count in _by_type(totals, event).items():
            before = samples[0].types.get(job_type, {}).get(event, 0) if samples else 0
            found[job_type] += growth(count, before)
    return {name: count for name, count in found.items() if count}


def _by_type(totals: Mapping[str, int], event: str) -> Counter[str]:
    assert event in BY_TYPE
    counts: Counter[str] = Counter()
    for field, count in totals.items():
        name, _, rest = field.partition(":")
        if name == event:
            counts[rest.partition(":")[0]] += count
    return counts


def _waiting_types(server: Server, keys: Sequence[QueueKeys]) -> list[Counter[str]]:
    """Return the types of some waiting jobs of each queue, from both ends of its lists."""
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
    records = ask_groups(
        server.client,
        [[("HGET", each.job(job_id), "type") for job_id in some] for each, some in zip(keys, ids, strict=True)],
    )
    return [Counter(text(name) for name in of_queue if name) for of_queue in records]


def _unpaused(waiting: Mapping[str, int], stats: QueueStats) -> dict[str, int]:
    """Return those that may start: paused ones need no process."""
    if stats.paused_for is not None:
        return {}
    return {name: count for name, count in waiting.items() if name not in stats.paused_types}


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
