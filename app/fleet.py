"""Metrics of the whole fleet: the server keeps the job counters, so that any API process returns them all."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gopher.base.counters import BY_ERROR, COUNTERS
from gopher.base.latencies import CPU, HISTOGRAMS, MEMORY
from gopher.base.states import TIMED
from gopher.client import Client
from gopher.jobs.models import WorkerMemory
from gopher.jobs.registry import Registry
from gopher.jobs.stats import QueueStats
from gopher.reads.batch_figures import batches_by_status, outbox_length
from gopher.reads.capacity.recent import recent_capacity
from gopher.reads.histogram import cumulated, cumulated_memory
from gopher.reads.tenants import waiting_by_tenant

from .server_metrics import server_metrics

#: Maximum number of series for label values that clients can choose freely: the most frequent values.
_ERRORS, _QUEUES, _SCHEDULES, _TENANTS = 60, 20, 20, 10
OTHER = "other"


class Fleet:
    """A snapshot of the server's figures, for the metrics library to render."""

    def __init__(self, client: Client, registry: Registry) -> None:
        self._known = {handler.name for handler in registry}
        self._stats = client.stats()
        self._workers = client.workers()
        self._capacity = recent_capacity(client.server, client.inspector)
        self._disabled_webhooks = sum(each.disabled_at is not None for each in client.webhooks.all())
        self._nodes = client.server.watch.states()
        totals = client.inspector.all_totals()
        self._totals = _sum(totals.values())
        queues = [client.server.keys.for_queue(name) for name in self._stats.queues]
        self._tenants = waiting_by_tenant(client.server, queues) if queues else Counter[str]()
        self._batches = batches_by_status(client.server.client, queues) if queues else Counter[str]()
        self._outbox = outbox_length(client.server.client, queues) if queues else 0
        self._overdue = client.inspector.overdue(_SCHEDULES)
        running = [queue for queue, stats in self._stats.queues.items() if stats.processing]
        self._stuck = sum(len(client.inspector.stuck(queue)) for queue in running)
        begun = {queue: _begun(of_queue) for queue, of_queue in totals.items()}
        self._histograms = list(client.inspector.all_histograms(begun).values())

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._latencies()
        yield from self._queues()
        yield from self._waiting_of_tenants()
        yield from self._of_batches()
        yield from self._fleet()
        yield from self._needs()
        yield from self._schedules()
        yield from server_metrics(self._nodes)

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
        for histogram in (*HISTOGRAMS, CPU, MEMORY):
            metric = HistogramMetricFamily(histogram.metric, histogram.meaning, labels=["job_type"])
            for job_type, fields in by_type.items():
                is_memory = histogram is MEMORY
                buckets, total = cumulated_memory(fields) if is_memory else cumulated(fields, histogram.name)
                if buckets[-1][1]:
                    metric.add_metric([job_type], buckets, total)
            yield metric

    def _queues(self) -> Iterator[Metric]:
        size = GaugeMetricFamily("gopher_queue_size", "Jobs waiting for a worker.", labels=["queue", "priority"])
        age = GaugeMetricFamily(
            "gopher_queue_oldest_age_seconds", "Age of the oldest waiting job of the queue.", labels=["queue"]
        )
        paused = GaugeMetricFamily("gopher_queue_paused", "Whether the queue is paused.", labels=["queue"])
        pauses: dict[str, bool] = {}
        ages: dict[str, float] = {}
        sizes: Counter[tuple[str, ...]] = Counter()
        for queue, stats in self._by_queue():
            pauses[queue] = pauses.get(queue, False) or stats.paused_for is not None
            ages[queue] = max(ages.get(queue, 0.0), stats.oldest_waiting_age)
            for priority, waiting in stats.priorities.items():
                sizes[(queue, priority)] += waiting.waiting
        for queue, seconds in ages.items():
            age.add_metric([queue], seconds)
        for labels, count in sizes.items():
            size.add_metric(labels, count)
        for queue, is_paused in pauses.items():
            paused.add_metric([queue], int(is_paused))
        yield size
        yield age
        yield paused
        yield self._paused_types()

    def _paused_types(self) -> Metric:
        metric = GaugeMetricFamily(
            "gopher_type_paused", "Whether the job type is paused in any queue.", labels=["job_type"]
        )
        pauses = dict.fromkeys(self._known, 0) | {self._label(name): 1 for name in self._stats.paused_types}
        for job_type, is_paused in pauses.items():
            metric.add_metric([job_type], is_paused)
        return metric

    def _waiting_of_tenants(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "gopher_tenant_waiting_jobs", "Waiting jobs of the tenants that have the most.", labels=["tenant"]
        )
        for tenant, count in self._tenants.most_common(_TENANTS):
            waiting.add_metric([tenant], count)
        yield waiting
        yield GaugeMetricFamily(
            "gopher_tenants_waiting", "Number of tenants that have waiting jobs.", value=len(self._tenants)
        )

    def _of_batches(self) -> Iterator[Metric]:
        batches = GaugeMetricFamily("gopher_batches", "Batches: open, running or ended.", labels=["status"])
        for status, count in self._batches.items():
            batches.add_metric([status], count)
        yield batches
        yield _gauge(
            "gopher_outbox_entries", "Ends of jobs and batches to be told to other queues and webhooks.", self._outbox
        )

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
        yield _gauge(
            "gopher_throttled_keys",
            "Limit keys and tenants that RateLimited throttles.",
            sum(q.throttled_keys for q in queues),
        )
        yield _gauge("gopher_dlq_size", "Dead letters.", sum(q.failed for q in queues))
        yield _gauge("gopher_jobs_stuck", "Jobs that have been processing for longer than allowed.", self._stuck)
        yield _gauge("gopher_worker_count", "Live workers.", len(busy))
        yield _gauge("gopher_active_workers", "Workers that are running a job.", sum(map(any, busy)))
        yield from _memory([worker.admission for worker in self._workers if worker.admission is not None])
        yield _gauge(
            "gopher_webhooks_disabled", "Webhooks that are disabled because deliveries failed.", self._disabled_webhooks
        )
        yield _gauge(
            "gopher_worker_utilization",
            "Fraction of the workers' children that are running a job.",
            round(sum(map(sum, busy)) / children, 6) if children else 0.0,
        )

    def _needs(self) -> Iterator[Metric]:
        processes = GaugeMetricFamily(
            "gopher_processes_needed", "Processes that let jobs start within GOPHER_CAPACITY_WITHIN.", labels=["group"]
        )
        workers = GaugeMetricFamily(
            "gopher_workers_needed", "Workers that let jobs start within GOPHER_CAPACITY_WITHIN.", labels=["group"]
        )
        for group in self._capacity.groups[:_QUEUES]:
            processes.add_metric([group.name], group.needed_processes)
            workers.add_metric([group.name], group.scale_to)
        yield processes
        yield workers

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


def _memory(admitting: Sequence[WorkerMemory]) -> Iterator[Metric]:
    """Yield what the workers that admit jobs by memory have together."""
    for name, meaning, value in (
        ("memory_room_bytes", "Memory that workers have for jobs.", sum(each.room for each in admitting)),
        ("memory_admitted_bytes", "Memory planned for running jobs.", sum(each.room - each.free for each in admitting)),
        ("memory_free_bytes", "Memory that is left for further jobs.", sum(each.free for each in admitting)),
        ("jobs_held", "Jobs that wait in workers for memory.", sum(len(each.held) for each in admitting)),
    ):
        yield _gauge(f"gopher_worker_{name}", meaning, value)


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
