"""What is known of a job type: from the counters, the samples, and the last finished jobs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from gopher.base.counters import BY_ERROR, BY_TYPE, TIMELINE
from gopher.base.durations import in_seconds
from gopher.base.latencies import CPU
from gopher.base.names import JOB_ID, TYPE_NAME
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import NO_NAME, Salvage, finite, moment, text
from gopher.base.states import DEAD, FINISHED, STATES
from gopher.base.times import to_rfc3339
from gopher.jobs.fields import JobId, QueueName, Time, TypeName
from gopher.jobs.lists import Window
from gopher.jobs.models import ShownStatus
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import ask

from .histogram import Latency, Memory, latency_of, memory_of
from .scan import look_into
from .timeline import LISTED, Sample, TypePoint, counts_of, event_growth, latency_between, paired_samples

if TYPE_CHECKING:
    from .jobs import Inspector

#: How many of the last finished jobs are looked at for slow ones, in all queues, and how many of those are shown.
_LOOKED_AT, _SHOWN = 1000, 10
#: Queues whose jobs are looked at: those with the most jobs of the type.
_QUEUES = 20
_FIELDS = ("type", "state", "duration", "finished")
_ENDED = FINISHED | DEAD


class SlowJob(msgspec.Struct):
    """A job with a slow last attempt; `duration` is in seconds."""

    job_id: JobId
    queue: QueueName
    status: ShownStatus
    duration: float
    finished_at: Time | None


class TypeStats(msgspec.Struct):
    """A job type's figures since they are counted, and its points of a window, each of about `step` seconds.

    `cpu` is in seconds, `memory` in bytes. `errors` counts dead letters by error class, most frequent first. `slowest`
    are those of the last finished jobs that took longest.
    """

    type: TypeName
    totals: dict[str, int]
    wait: Latency
    run: Latency
    cpu: Latency
    memory: Memory
    errors: dict[str, int]
    slowest: list[SlowJob]
    window: float
    step: float
    points: list[TypePoint]


class TypeSummary(msgspec.Struct):
    """The figures of one of several types."""

    name: str
    totals: dict[str, int]
    wait: Latency
    run: Latency
    cpu: Latency
    memory: Memory


def summaries(inspector: "Inspector", registered: Iterable[str], limit: int = 500) -> list[TypeSummary]:
    """Return the types that are registered or have had jobs, by name; of very many, those with the most jobs."""
    by_queue = inspector.all_totals()
    counts: dict[str, Counter[str]] = {name: Counter() for name in registered}
    for totals in by_queue.values():
        for field, count in totals.items():
            event, _, rest = field.partition(":")
            if event in BY_TYPE and TYPE_NAME.fullmatch(name := rest.partition(":")[0]):
                counts.setdefault(name, Counter())[event] += count
    busiest = sorted(counts, key=lambda name: counts[name]["enqueued"], reverse=True)[:limit]
    fields = _histograms(inspector, by_queue, busiest)
    return [_summary(name, counts[name], fields[name]) for name in sorted(busiest)]


def _summary(name: str, counts: Counter[str], fields: Mapping[str, int]) -> TypeSummary:
    return TypeSummary(
        name=name,
        totals={event: counts[event] for event in TIMELINE},
        wait=latency_of(fields, "wait"),
        run=latency_of(fields, "run"),
        cpu=latency_of(fields, CPU.name),
        memory=memory_of(fields),
    )


def _histograms(
    inspector: "Inspector", queues: Mapping[str, Mapping[str, int]], names: Sequence[str]
) -> dict[str, Counter[str]]:
    """Return the histograms of types, added up over the queues that have run any of their jobs."""
    wanted = {queue: [name for name in names if _has_run(totals, name)] for queue, totals in queues.items()}
    sums: dict[str, Counter[str]] = {name: Counter() for name in names}
    for histograms in inspector.all_histograms(wanted).values():
        for name, fields in histograms.items():
            sums[name].update(fields)
    return sums


def _has_run(totals: Mapping[str, int], job_type: str) -> bool:
    return any(f"dequeued:{job_type}:{priority}" in totals for priority in PRIORITIES)


def type_stats(server: Server, inspector: "Inspector", job_type: str, asked: Window) -> TypeStats:
    """Return the statistics of a type, in all queues or one. Raises InvalidJob."""
    by_queue = {
        queue: counted
        for queue, counted in inspector.all_totals().items()
        if asked.queue is None or queue == asked.queue
    }
    seconds, step, pairs = paired_samples(server, asked.window, asked.queue)
    counts, errors, ended = _counts(by_queue, job_type)
    fields = _histograms(inspector, by_queue, [job_type])[job_type]
    busiest = [queue for queue, _ in ended.most_common(_QUEUES)]
    return TypeStats(
        type=job_type,
        totals={event: counts[event] for event in TIMELINE},
        wait=latency_of(fields, "wait"),
        run=latency_of(fields, "run"),
        cpu=latency_of(fields, CPU.name),
        memory=memory_of(fields),
        errors=dict(errors.most_common()),
        slowest=_slowest(server, busiest, job_type),
        window=seconds,
        step=step,
        points=[_point(slot, of_slot, job_type) for slot, of_slot in pairs.items()],
    )


def _counts(
    by_queue: Mapping[str, Mapping[str, int]], job_type: str
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Return counts by event, dead letters by error class, and ended jobs by queue that still exists."""
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for queue, totals in by_queue.items():
        for field, count in totals.items():
            event, _, rest = field.partition(":")
            name, _, detail = rest.partition(":")
            if name != job_type:
                continue
            counts[event] += count
            if event in BY_ERROR:
                errors[detail] += count
            if queue and event in ("completed", "failed"):
                ended[queue] += count
    return counts, errors, ended


def _point(slot: int, pairs: Sequence[tuple[Sample, Sample]], job_type: str) -> TypePoint:
    """Sum the changes of the queues that were sampled in one slot."""
    known = [(before, after) for before, after in pairs if _is_listed(before, job_type)]
    counts = {
        event: sum(event_growth(a.types.get(job_type, {}), b.types.get(job_type, {}), event) for a, b in known)
        for event in TIMELINE
    }
    wait, run = (
        latency_between(
            [
                (counts_of(before, job_type, name), counts_of(after, job_type, name))
                for before, after in known
                if before.latencies is not None and job_type in (after.latencies or ())
            ]
        )
        for name in ("wait", "run")
    )
    lasted = in_seconds(min(after.at - before.at for before, after in pairs if before is not after))
    return TypePoint(at=to_rfc3339(slot), seconds=lasted, **counts, wait=wait, run=run)


def _is_listed(sample: Sample, job_type: str) -> bool:
    """Return whether a sample has the type's figures, or had room for them: one that is new starts from nothing."""
    return job_type in sample.types or len(sample.types) < LISTED


def _slowest(server: Server, queues: Sequence[str], job_type: str) -> list[SlowJob]:
    found = [job for keys, ids in _last_ended(server, queues) for job in _jobs_of(server, keys, ids, job_type)]
    return sorted(found, key=lambda job: job.duration, reverse=True)[:_SHOWN]


def _last_ended(server: Server, queues: Sequence[str]) -> Iterator[tuple[QueueKeys, list[str]]]:
    """Yield the ids of the jobs of each queue that have ended last."""
    each = _LOOKED_AT // max(len(queues), 1)
    for queue in queues:
        keys = server.keys.for_queue(queue)
        with explained():
            places = (keys.finished, *map(keys.of_state, sorted(DEAD)))
            found = ask(server.client, [("ZREVRANGE", place, 0, each - 1) for place in places])
        ids = [text(job_id) for of_place in found for job_id in of_place]
        yield keys, [job_id for job_id in ids if JOB_ID.fullmatch(job_id)]


def _jobs_of(server: Server, keys: QueueKeys, ids: Sequence[str], job_type: str) -> Iterator[SlowJob]:
    if not ids:
        return
    (records,) = look_into(server, [(keys, ids)], _FIELDS)
    for job_id, (name, state, duration, finished) in zip(ids, records, strict=True):
        if name is None or text(name) != job_type or not duration:
            continue
        salvage = Salvage()
        seconds = salvage.read("duration", partial(finite, duration), 0.0)
        status = STATES.get(text(state or b""), NO_NAME)
        ended = salvage.read("finished_at", partial(_time, finished), None)
        if status in _ENDED:
            yield SlowJob(job_id, keys.queue, status, in_seconds(seconds), ended)


def _time(value: bytes | None) -> str | None:
    return to_rfc3339(moment(value)) if value else None
