"""Time series of the last hour, day or month: `Client.timeline("1h")`, `GET /api/v1/timeline?window=1h`.

The scheduler (or, less often, a worker) makes the server sample its counters every ten seconds, five minutes and hour;
a point is the difference of two adjacent samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from gopher.base.counters import TIMELINE
from gopher.base.durations import format_duration, in_seconds, parse_duration
from gopher.base.latencies import ADDED, BOUNDS
from gopher.base.salvage import Salvage, moment, order, whole
from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob
from gopher.queue.moves import SERIES

from .histogram import Latency, growth, latency

if TYPE_CHECKING:
    from gopher.queue.store import Server

T = TypeVar("T")

#: Maximum number of types per sample, as in lua/sample.lua.
LISTED = 50


class TypePoint(msgspec.Struct):
    """What happened to jobs of a type in the `seconds` before `at`. `dequeued` counts started attempts."""

    at: str
    seconds: float
    enqueued: int
    dequeued: int
    completed: int
    failed: int
    retried: int
    cancelled: int
    expired: int
    wait: Latency
    run: Latency


class Point(TypePoint):
    """What happened to all jobs, and the numbers of jobs by state at that time.

    `types` has the counters of each active job type, of the fifty most used ones.
    """

    waiting: int
    running: int
    scheduled: int
    retrying: int
    dead_letters: int
    types: dict[str, dict[str, int]]


class Timeline(msgspec.Struct):
    """The points of a window, oldest first; each covers about `step` seconds. `window` is in seconds."""

    window: float
    step: float
    points: list[Point]


class _Row(msgspec.Struct):
    """A stored sample. An empty Lua table is an empty list."""

    at: int | float
    counted: dict[str, int] | list[None]
    types: dict[str, Mapping[str, int]] | list[None]
    wait: list[int]
    run: list[int]
    waiting: int
    running: int
    scheduled: int
    retrying: int
    failed: int
    # Samples of earlier versions have neither.
    below: dict[str, list[int]] = {}
    latencies: dict[str, dict[str, list[int]]] | list[None] | None = None


class Sample(NamedTuple):
    """The counters of one queue in one slot (ms) of a series."""

    slot: int
    at: int
    counted: Mapping[str, int]
    types: Mapping[str, Mapping[str, int]]
    #: Histogram buckets, and last the sum in microseconds.
    wait: Sequence[int]
    run: Sequence[int]
    gauges: tuple[int, ...]
    #: The histograms of listed types by name, as place, count, place, count, ...; None in samples of earlier versions.
    latencies: Mapping[str, Mapping[str, Sequence[int]]] | None


def window_of(text: str | float) -> float:
    """Parse a window to seconds. Raises InvalidJob."""
    longest = SERIES[-1][0] * (SERIES[-1][1] - 1) / 1000
    try:
        seconds = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise InvalidJob(f"is {text!r:.60}: {error}", "/window") from None
    if not 0 < seconds <= longest:
        raise InvalidJob(f"is {text!r:.60}: must be greater than 0 and at most {format_duration(longest)}", "/window")
    return seconds


def timeline(server: "Server", window: str | float = "1h", queue: str | None = None) -> Timeline:
    """Return the time series of a window that ends now, of all queues or one of them. Raises InvalidJob."""
    seconds, step, pairs = paired_samples(server, window, queue)
    return Timeline(seconds, step, [_point(slot, of_slot) for slot, of_slot in pairs.items()])


def paired_samples(
    server: "Server", window: str | float, queue: str | None
) -> tuple[float, float, dict[int, list[tuple[Sample, Sample]]]]:
    """Return a window and its step (s), and by slot (ms) the last two samples of each queue. Raises InvalidJob."""
    # Imported here, since handlers use this module's models without the server's client.
    from gopher.server.clock import now_at
    from gopher.server.errors import explained

    seconds = window_of(window)
    step = next(step for step, kept in SERIES if seconds * 1000 <= step * (kept - 1))
    names = server.queues() if queue is None else [queue]
    with explained():
        now = now_at(server.client, server.keys.queues) // 1000 * 1000
        # One more than the window, for the difference of the first point.
        since = now - round(seconds * 1000) - step
        rows = rows_since(server, names, step, since)
    by_queue = [readable(of_queue) for of_queue in rows]
    slots = sorted({sample.slot for samples in by_queue for sample in samples[1:] if sample.slot >= since + step})
    pairs: dict[int, list[tuple[Sample, Sample]]] = {slot: [] for slot in slots}
    for samples in by_queue:
        for slot, pair in _along(samples, slots):
            pairs[slot].append(pair)
    return seconds, in_seconds(step), pairs


def counts_of(sample: Sample, job_type: str, name: str) -> list[int]:
    """Return a type's histogram in a sample that has some, like `wait` and `run` of all types."""
    counts = [0] * (len(BOUNDS) + 2)
    flat = (sample.latencies or {}).get(job_type, {}).get(name, ())
    for place, count in zip(flat[0::2], flat[1::2], strict=False):
        if 0 < place <= len(counts):
            counts[place - 1] = order(count)
    return counts


def _along(samples: Sequence[Sample], slots: Sequence[int]) -> Iterator[tuple[int, tuple[Sample, Sample]]]:
    """Yield for each slot the last two samples of a queue up to it. A queue without workers is sampled only when
    it has changed."""
    at = -1
    for slot in slots:
        while at + 1 < len(samples) and samples[at + 1].slot <= slot:
            at += 1
        is_new = at >= 0 and samples[at].slot == slot
        if at >= is_new:
            yield slot, (samples[at - is_new], samples[at])


def rows_since(server: "Server", queues: Sequence[str], step: int, since: int) -> list[list[tuple[bytes, float]]]:
    """Return the stored samples of a series (ms) of each queue since then (ms), and the previous one."""
    from gopher.server.round_trips import ask_groups

    series = [server.keys.for_queue(name).timeline(step) for name in queues]
    groups = ask_groups(
        server.client,
        [
            [
                ("ZREVRANGEBYSCORE", key, f"({since}", "-inf", "WITHSCORES", "LIMIT", 0, 1),
                ("ZRANGEBYSCORE", key, since, "+inf", "WITHSCORES"),
            ]
            for key in series
        ],
    )
    return [_with_scores([*before, *rows]) for before, rows in groups]


def _with_scores(flat: Sequence[bytes]) -> list[tuple[bytes, float]]:
    return [(member, float(score)) for member, score in zip(flat[0::2], flat[1::2], strict=True)]


def readable(rows: Sequence[tuple[bytes, float]]) -> list[Sample]:
    """Decode samples, without corrupt ones."""
    found = (Salvage().read("sample", partial(_read, *row), None) for row in rows)
    return [sample for sample in found if sample is not None]


def _read(data: bytes, slot: float) -> Sample:
    row = msgspec.msgpack.decode(data, type=_Row)
    wait, run = (_with_below(getattr(row, name), row.below.get(name, [0] * ADDED)) for name in ("wait", "run"))
    gauges = (row.waiting, row.running, row.scheduled, row.retrying, row.failed)
    for number in (*wait, *run, *gauges):
        whole(number)
    types: Mapping[str, Mapping[str, int]] = _table(row.types)
    latencies: Mapping[str, Mapping[str, list[int]]] | None
    latencies = None if row.latencies is None else _table(row.latencies)
    return Sample(moment(slot), moment(row.at), _table(row.counted), types, wait, run, gauges, latencies)


def _with_below(counts: list[int], below: list[int]) -> list[int]:
    """Return the counts of all buckets: samples have those of earlier versions, which those `below` are part of."""
    if not (len(counts) == len(BOUNDS) + 2 - ADDED and len(below) == ADDED):
        raise ValueError("expected a count for each bucket")
    return [*below, max(counts[0] - sum(below), 0), *counts[1:]]


def _table(read: dict[str, T] | list[None]) -> Mapping[str, T]:
    return read if isinstance(read, dict) else {}


def _point(slot: int, pairs: Sequence[tuple[Sample, Sample]]) -> Point:
    """Sum the changes of the queues that were sampled in one slot."""
    counts = {event: sum(event_growth(a.counted, b.counted, event) for a, b in pairs) for event in TIMELINE}
    waiting, running, scheduled, retrying, dead = (
        sum(column) for column in zip(*(b.gauges for _, b in pairs), strict=True)
    )
    return Point(
        at=to_rfc3339(slot),
        seconds=in_seconds(min(b.at - a.at for a, b in pairs if a is not b)),
        **counts,
        wait=latency_between([(a.wait, b.wait) for a, b in pairs]),
        run=latency_between([(a.run, b.run) for a, b in pairs]),
        waiting=waiting,
        running=running,
        scheduled=scheduled,
        retrying=retrying,
        dead_letters=dead,
        types=_types(pairs),
    )


def _types(pairs: Sequence[tuple[Sample, Sample]]) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = {}
    for before, after in pairs:
        for name in after.types:
            if not is_listed(name, before.types):
                continue
            for event in TIMELINE:
                if grown := event_growth(before.types.get(name, {}), after.types[name], event):
                    of_type = sums.setdefault(name, {})
                    of_type[event] = of_type.get(event, 0) + grown
    return dict(sorted(sums.items()))


def is_listed(job_type: str, types: Mapping[str, Any]) -> bool:
    """Return whether a sample with these types has the counters of a type, or it had none then.

    A type that enters the list of the most used ones has been counted before.
    """
    return job_type in types or len(types) < LISTED


def event_growth(before: Mapping[str, int], after: Mapping[str, int], event: str) -> int:
    """Return by how much a counter of an event has grown between two samples."""
    return growth(after.get(event, 0), before.get(event, 0))


def latency_between(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Latency:
    """Return the latencies of what was counted between two samples of each queue."""
    *buckets, microseconds = (
        sum(max(after[place] - before[place], 0) for before, after in pairs) for place in range(len(BOUNDS) + 2)
    )
    return latency(buckets, microseconds)
