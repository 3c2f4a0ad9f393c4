"""Plots of throughput and latencies over a time span that ends now: of all jobs, and of a type."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from flask import Response
from gopher.app.answers import answer
from gopher.app.context import gopher

from gopher.base.counters import PLOTTED
from gopher.base.times import from_rfc3339
from gopher.errors import InvalidJob
from gopher.reads.timeline import TypePoint

from .frame import blueprint, filters, stats

#: Time spans and their labels. The first one is live: it refreshes every two seconds.
SPANS = {"5m": "Live", "1h": "Last hour", "24h": "Last day"}
#: The coordinate system of a drawing, which is stretched to the available width.
_WIDTH, _HEIGHT = 600, 160

#: The values of a line; None where nothing is known.
Values = list[float | None]


class Line(NamedTuple):
    """A line of a plot, as the page says it: its script takes all of it from there."""

    name: str
    label: str
    #: Classes of the style sheet.
    style: str


LINES = {
    "rates": [
        Line(name, name, f"tone-{line.colour}{' dashed' if line.dashed else ''}") for name, line in PLOTTED.items()
    ],
    "latencies": [
        Line("wait_p50", "wait, median", "tone-blue dashed"),
        Line("wait_p95", "wait, 95 %", "tone-blue"),
        Line("run_p50", "run, median", "tone-cyan dashed"),
        Line("run_p95", "run, 95 %", "tone-cyan"),
    ],
}


class Series(msgspec.Struct):
    """Points of plots: `times` in Unix seconds, `rates` in jobs a second, `latencies` in seconds.

    `sums` has the counts of the span and its means in seconds, None where nothing was; `counters` how far the counters
    are `at` a moment (Unix seconds), from which the page derives rates.
    """

    span: float
    times: list[float]
    rates: dict[str, Values]
    latencies: dict[str, Values]
    sums: dict[str, float | None]
    counters: dict[str, float]


class Drawing(NamedTuple):
    """A plot that needs no scripts: the path of each line, and the values at its top and bottom."""

    paths: dict[str, str]
    top: float
    bottom: float


@blueprint.get("/series")
def series() -> Response:
    found = gopher().timeline(span_of(filters("span").get("span")))
    return answer(series_of(found.window, found.points, counted()))


def span_of(text: str | None) -> str:
    """Validate a time span. Raises InvalidJob."""
    if text is not None and text not in SPANS:
        raise InvalidJob(f"is {text!r:.60}: must be one of {', '.join(SPANS)}", "/span")
    return text or next(iter(SPANS))


def plots_of(series: Series, span: str, **addresses: str) -> dict[str, Any]:
    """Return what plots.html needs. `addresses` are those of the page and of its series without a span."""
    return {
        "spans": SPANS,
        "lines": LINES,
        "span": span,
        "series": series,
        "rates": drawing_of(series, series.rates),
        "latencies": logarithmic_drawing_of(series, series.latencies),
        **addresses,
    }


def series_of(window: float, points: Sequence[TypePoint], counters: Mapping[str, int]) -> Series:
    """Convert points to columns: one list per line of the plots. `counters` are of the same jobs, by event."""
    return Series(
        span=window,
        times=[from_rfc3339(point.at) / 1000 for point in points],
        rates={event: [_rate(point, event) for point in points] for event in PLOTTED},
        latencies={line.name: [_latency(point, line.name) for point in points] for line in LINES["latencies"]},
        sums=_sums(points),
        counters={"at": time.time(), **{event: float(counters[event]) for event in PLOTTED}},
    )


def drawing_of(series: Series, lines: Mapping[str, Values]) -> Drawing:
    """Return a linear plot that starts at zero."""
    top = max((value for line in lines.values() for value in line if value), default=1.0)
    return Drawing({name: _path(series, line, lambda value: value / top) for name, line in lines.items()}, top, 0.0)


def logarithmic_drawing_of(series: Series, lines: Mapping[str, Values]) -> Drawing:
    """Return a logarithmic plot between powers of ten, like the one that uPlot draws."""
    logarithms = [math.log10(value) for line in lines.values() for value in line if value] or [-3.0, 0.0]
    bottom = math.floor(min(logarithms))
    height = max(math.ceil(max(logarithms)) - bottom, 1)
    paths = {
        name: _path(series, line, lambda value: (math.log10(value) - bottom) / height) for name, line in lines.items()
    }
    return Drawing(paths, 10.0 ** (bottom + height), 10.0**bottom)


def _path(series: Series, values: Values, share: Callable[[float], float]) -> str:
    heights = [None if value is None else _HEIGHT * (1 - share(value)) for value in values]
    return "".join(_moves(series.times, heights, time.time() - series.span, series.span))


def _moves(times: Sequence[float], heights: Values, start: float, span: float) -> Iterator[str]:
    pen = "M"
    for at, height in zip(times, heights, strict=True):
        if height is None:
            pen = "M"
            continue
        yield f"{pen}{_WIDTH * min(max((at - start) / span, 0), 1):.1f} {height:.1f}"
        pen = "L"


def _rate(point: TypePoint, event: str) -> float | None:
    return round(getattr(point, event) / point.seconds, 3) if point.seconds else None


def _latency(point: TypePoint, name: str) -> float | None:
    kind, _, quantile = name.partition("_")
    # A logarithmic plot has no zero.
    return getattr(getattr(point, kind), quantile) or None


def _sums(points: Sequence[TypePoint]) -> dict[str, float | None]:
    counts = {event: sum(getattr(point, event) for point in points) for event in PLOTTED}
    return {**counts, "mean_wait": _mean(points, "wait"), "mean_run": _mean(points, "run")}


def _mean(points: Sequence[TypePoint], kind: str) -> float | None:
    found = [getattr(point, kind) for point in points]
    count = sum(each.count for each in found)
    return sum(each.count * (each.mean or 0.0) for each in found) / count if count else None


def counted() -> dict[str, int]:
    """Return the counters of all jobs by event."""
    by_queue = [{"enqueued": queue.total_enqueued, **queue.totals} for queue in stats().queues.values()]
    return {event: sum(of_queue[event] for of_queue in by_queue) for event in PLOTTED}
