"""The timeline plots of reports: the last day, or the last hour if there is no more data yet."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from gopher.base.counters import PLOTTED
from gopher.base.durations import format_duration
from gopher.reads.timeline import Point, Timeline

from . import pages
from .plots import Mark, lines, stacked

#: Maximum number of types with their own colour; the others are combined.
_TYPES = 5
_OTHERS = "others"


def sections(timeline: Timeline) -> Iterator[str]:
    """Yield the plots: throughput, waiting, failures by type."""
    over = {3600.0: "hour", 86400.0: "day"}.get(timeline.window) or format_duration(timeline.window)
    points = timeline.points
    if not points:
        yield pages.section(f"The last {over}", "<p>No data yet: plots start when a scheduler is running.</p>")
        return
    end = max(_time(point) for point in points)
    start = end - timedelta(seconds=timeline.window)
    places = [max((_time(point) - start) / (end - start), 0.0) for point in points]
    marks = list(_marks(start, end))
    throughput = {
        name: [(at, getattr(point, name) / point.seconds * 60) for at, point in zip(places, points, strict=True)]
        for name in PLOTTED
    }
    title = f"Jobs per minute over the last {over} (UTC)"
    yield pages.section(title, lines(title, throughput, marks))
    waits = {
        name: [(at, getattr(point.wait, field)) for at, point in zip(places, points, strict=True)]
        for name, field in (("p50", "p50"), ("p95", "p95"))
    }
    title = f"Wait time over the last {over}"
    yield pages.section(title, lines(title, waits, marks, " s"))
    title = f"Jobs waiting over the last {over}"
    standing = {"waiting": [(at, float(point.waiting)) for at, point in zip(places, points, strict=True)]}
    yield pages.section(title, lines(title, standing, marks))
    yield _failures(f"Failed attempts by type over the last {over}", points, start, end, marks)


def _failures(title: str, points: list[Point], start: datetime, end: datetime, marks: list[Mark]) -> str:
    sums: Counter[str] = Counter()
    for point in points:
        for name, counts in point.types.items():
            sums[name] += _failed(counts)
    if not sums.total():
        return pages.section(title, '<p class="good">None.</p>')
    shown = [name for name, count in sums.most_common(_TYPES) if count]
    names = [*shown, _OTHERS] if len(+sums) > len(shown) else shown
    columns: list[Counter[str]] = [Counter() for _ in range(24)]
    for point in points:
        place = min(max(int((_time(point) - start) / (end - start) * 24), 0), 23)
        for name, counts in point.types.items():
            columns[place][name if name in shown else _OTHERS] += _failed(counts)
    rows = [(name, count) for name, count in sums.most_common() if count]
    return pages.section(title, stacked(title, columns, names, marks), pages.table(("type", "failed attempts"), rows))


def _failed(counts: dict[str, int]) -> int:
    return counts.get("failed", 0) + counts.get("retried", 0)


def _marks(start: datetime, end: datetime) -> Iterator[Mark]:
    """Yield words for whole hours, or ten minutes, about six of them."""
    step = timedelta(hours=4) if end - start > timedelta(hours=2) else timedelta(minutes=10)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + ((start - midnight) // step + 1) * step
    while at < end - (end - start) / 40:
        if at > start + (end - start) / 40:
            yield Mark((at - start) / (end - start), f"{at:%H:%M}")
        at += step


def _time(point: Point) -> datetime:
    return datetime.fromisoformat(point.at).astimezone(UTC)
