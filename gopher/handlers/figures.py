"""The statistics for reports, read from the queues once."""

import time
from typing import TYPE_CHECKING, Any

import msgspec

from gopher.base.counters import BY_ERROR, OUTCOMES
from gopher.base.times import to_rfc3339
from gopher.jobs.models import WorkerView
from gopher.jobs.stats import Stats
from gopher.reads.histogram import Latency, buckets_of, growth, latency_of
from gopher.reads.timeline import Timeline

if TYPE_CHECKING:
    from gopher.queue.store import Server
    from gopher.reads.jobs import Inspector

#: With fewer points of the last day, the last hour is shown instead: a scheduler has not been running for long.
_FEW = 12

#: What a report counts.
EVENTS = ("enqueued", *OUTCOMES)


class Spread(Latency):
    """How long something took, and how many fell into each bucket."""

    buckets: list[int]


class TypeFigures(msgspec.Struct):
    """A job type over all queues, since counting began."""

    counts: dict[str, int]
    errors: dict[str, int]
    run: Spread
    wait: Spread


class Figures(msgspec.Struct):
    """A snapshot. `schedulers` is the number of live ones."""

    generated_at: str
    stats: Stats
    types: dict[str, TypeFigures]
    workers: list[WorkerView]
    schedulers: int
    #: The last day, or the last hour if there is no more data yet.
    timeline: Timeline


def collect(server: "Server") -> Figures:
    """Read the statistics of all queues."""
    from gopher.reads.jobs import Inspector

    inspector = Inspector(server)
    return Figures(
        generated_at=to_rfc3339(time.time() * 1000),
        stats=inspector.stats(),
        types=_types(inspector),
        workers=inspector.workers(),
        schedulers=inspector.schedulers(),
        timeline=_timeline(server),
    )


def _timeline(server: "Server") -> Timeline:
    from gopher.reads.timeline import timeline

    day = timeline(server, "1d")
    return day if len(day.points) >= _FEW else timeline(server, "1h")


def _types(inspector: "Inspector") -> dict[str, TypeFigures]:
    totals: dict[str, int] = {}
    histograms: dict[str, dict[str, int]] = {}
    by_queue = inspector.all_totals()
    for counted in by_queue.values():
        _add(totals, counted)
    begun = {queue: _type_names(counted) for queue, counted in by_queue.items()}
    for of_queue in inspector.all_histograms(begun).values():
        for name, buckets in of_queue.items():
            _add(histograms.setdefault(name, {}), buckets)
    return {name: type_figures(name, totals, histograms.get(name, {})) for name in sorted(_type_names(totals))}


def _add(sums: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        sums[name] = sums.get(name, 0) + count


def _type_names(totals: dict[str, int]) -> set[str]:
    """Return the job types in counters such as `enqueued:email:high` and `failed:email:ValueError`."""
    return {parts[1] for parts in (field.split(":") for field in totals) if len(parts) > 1}


def type_figures(name: str, totals: dict[str, int], histogram: dict[str, int]) -> TypeFigures:
    """Return the statistics of one type from the counters of all types."""
    counts: dict[str, int] = dict.fromkeys(EVENTS, 0)
    errors: dict[str, int] = {}
    for field, count in totals.items():
        event, _, rest = field.partition(":")
        job_type, _, detail = rest.partition(":")
        if job_type != name or event not in counts:
            continue
        counts[event] += count
        if event in BY_ERROR:
            errors[detail] = errors.get(detail, 0) + count
    return TypeFigures(counts, errors, spread("run", histogram), spread("wait", histogram))


def spread(name: str, histogram: dict[str, int]) -> Spread:
    """Return what a histogram says, and its buckets."""
    found = latency_of(histogram, name)
    return Spread(found.count, found.mean, found.p50, found.p95, buckets_of(histogram, name))


def counts_of(figures: Figures) -> dict[str, dict[str, int]]:
    """Return the counters by type, which a report stores for the next one to compare with."""
    return {name: dict(each.counts) for name, each in figures.types.items()}


def grown(now: dict[str, dict[str, int]], before: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return how far each counter grew."""
    return {
        name: {event: growth(count, before.get(name, {}).get(event, 0)) for event, count in counts.items()}
        for name, counts in now.items()
    }
