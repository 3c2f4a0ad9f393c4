"""Metrics of the whole fleet: the server keeps the job counters, so that any API process returns them all."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gopher.base.counters import BY_ERROR, COUNTERS
from gopher.base.latencies import HISTOGRAMS
from gopher.base.states import TIMED
from gopher.client import Client
from gopher.jobs.handlers import Registry
from gopher.jobs.models import QueueStats
from gopher.reads.histogram import cumulated

#: Maximum number of series for label values that clients can choose freely: the most frequent values.
_ERRORS, _QUEUES, _SCHEDULES = 60, 20, 20
OTHER = "other"


class Fleet:
    """A snapshot of the server's figures, for the metrics library to render."""

    def __init__(self, client: Client, registry: Registry) -> None:
        self._known = {handler.name for handler in registry}
        self._stats = client.stats()
        self._workers = client.workers()
        totals = client.inspector.all_totals()
        self._totals = _sum(totals.values())
        self._overdue = client.inspector.overdue(_SCHEDULES)
        running = [queue for queue, stats in self._stats.queues.items() if stats.processing]
        self._stuck = sum(len(client.inspector.stuck(queue)) for queue in running)
        begun = {queue: _begun(of_queue) for queue, of_queue in totals.items()}
        self._histograms = list(client.inspector.all_histograms(begun).values())

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._latencies()
        yield from self._queues()
        yield from self._fleet()
        yield from self._schedules()

    def _counters(self) -> Iterator[Metric]:
        for counter in COUNTERS:
            if not counter.metric:
                continue
            metric = CounterMetricFamily(counter.metric, counter.meaning, labels=counter.labels)
            # Without labels it starts at 0, so that the first increase is visible.
            for values, count in (self._by_labels(counter.name) or ({} if counter.labels else {(): 0})).items():
                metric.add_metric(values, count)
            yield metric

    def _by_labels(self, event: str) -> Counter[tuple[str, ...]]:
        """Return the counts of an event by labels; unregistered types are summed up as `other`."""
        counts: Counter[tuple[str, ...]] = Counter()
        for field, count in self._totals.items():
            name, _, rest = field.partition(":")
            if name == event:
                job_type, _, detail = rest.partition(":")
                labels = [self._label(job_type), detail] if detail else [self._label(job_type)] if job_type else []
                counts[tuple(labels)] += count
        return _bounded(counts) if event in BY_ERROR else counts

    def _latencies(self) -> Iterator[Metric]:
        by_type: dict[str, Counter[str]] = {}
        for histograms in self._histograms:
            for job_type, fields in histograms.items():
                by_type.setdefault(self._label(job_type), Counter()).update(fields)
        for prefix, name, meaning in HISTOGRAMS:
            metric = HistogramMetricFamily(name, meaning, labels=["job_type"])
            for job_type, fields in by_type.items():
                buckets, total = cumulated(fields, prefix)
                if buckets[-1][1]:
                    metric.add_metric([job_type], buckets, total)
            yield metric

    def _queues(self) -> Iterator[Metric]:
        size = GaugeMetricFamily("gopher_queue_size", "Jobs waiting for a worker.", labels=["queue", "priority"])
        age = GaugeMetricFamily(
            "gopher_queue_oldest_age_seconds", "Age of the oldest waiting job of the queue.", labels=["queue"]
        )
        ages: dict[str, float] = {}
        sizes: Counter[tuple[str, ...]] = Counter()
        for queue, stats in self._by_queue():
            ages[queue] = max(ages.get(queue, 0.0), stats.oldest_waiting_age)
            for priority, waiting in stats.priorities.items():
                sizes[(queue, priority)] += waiting.waiting
        for queue, seconds in ages.items():
            age.add_metric([queue], seconds)
        for labels, count in sizes.items():
            size.add_metric(labels, count)
        yield size
        yield age

    def _by_queue(self) -> Iterator[tuple[str, QueueStats]]:
        """Yield the queues by label; all but the busiest are summed up."""
        busiest = sorted(self._stats.queues.items(), key=lambda item: (-item[1].total_enqueued, item[0]))
        for at, (queue, stats) in enumerate(busiest):
            yield queue if at < _QUEUES else OTHER, stats

    def _fleet(self) -> Iterator[Metric]:
        queues = self._stats.queues.values()
        busy = [[child.job_id is not None for child in worker.children] for worker in self._workers]
        children = sum(map(len, busy))
        for state in TIMED:
            yield _gauge(f"gopher_{state}_queue_size", state.meaning, sum(getattr(q, state) for q in queues))
        yield _gauge("gopher_dlq_size", "Dead letters.", sum(q.failed for q in queues))
        yield _gauge("gopher_jobs_stuck", "Jobs that have been processing for longer than allowed.", self._stuck)
        yield _gauge("gopher_worker_count", "Live workers.", len(busy))
        yield _gauge("gopher_active_workers", "Workers that are running a job.", sum(map(any, busy)))
        yield _gauge(
            "gopher_worker_utilization",
            "Fraction of the workers' children that are running a job.",
            round(sum(map(sum, busy)) / children, 6) if children else 0.0,
        )

    def _schedules(self) -> Iterator[Metric]:
        overdue = GaugeMetricFamily(
            "gopher_schedule_overdue_seconds",
            "How late a schedule is; 0 if it is not due.",
            labels=["schedule"],
        )
        for name, seconds in self._overdue.items():
            overdue.add_metric([name], seconds)
        yield overdue

    def _label(self, job_type: str) -> str:
        return job_type if job_type in self._known else OTHER


def _begun(totals: Mapping[str, int]) -> list[str]:
    """Return the types with attempts: only those have latencies."""
    return sorted({field.split(":")[1] for field in totals if field.startswith("dequeued:")})


def _sum(totals: Iterable[dict[str, int]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for each in totals:
        counts.update(each)
    return counts


def _bounded(counts: Counter[tuple[str, ...]]) -> Counter[tuple[str, ...]]:
    """Return the failures by type and error: the most frequent pairs, and the rest as `other`."""
    kept = {labels for labels, _ in counts.most_common(_ERRORS)}
    bounded: Counter[tuple[str, ...]] = Counter()
    for labels, count in counts.items():
        bounded[labels if labels in kept else (labels[0], OTHER)] += count
    return bounded


def _gauge(name: str, meaning: str, value: Any) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)
