"""Plots over time as inline SVG, for reports: lines and stacked columns."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from .pages import shown, svg

# In the units of the viewBox.
_WIDTH, _HEIGHT = 720, 200
_LEFT, _TOP, _BOTTOM = 56, 10, 24
#: Colours of the series in order; further ones have the last colour.
_COLOURS = ("var(--bar)", "#c77700", "#2e8b57", "#8e5bb5", "#b3261e", "#6b7785")
_STEPS = 4


class Mark(NamedTuple):
    """A label below the plot: its position, from 0 to 1, and text."""

    at: float
    text: str


def lines(
    title: str, series: Mapping[str, Sequence[tuple[float, float | None]]], marks: Iterable[Mark], unit: str = ""
) -> str:
    """Return a plot of values over time: points are (time from 0 to 1, value); None leaves a gap."""
    top = rounded(max((value for points in series.values() for _, value in points if value is not None), default=0.0))
    paths = [
        f'<path d="{_path(points, top)}" fill="none" stroke="{_colour(index)}" stroke-width="1.5"/>'
        for index, points in enumerate(series.values())
    ]
    return _plot(title, list(series), [*_grid(top, unit), *paths, *_words(marks)])


def stacked(title: str, columns: Sequence[Mapping[str, float]], names: Sequence[str], marks: Iterable[Mark]) -> str:
    """Return a plot of one column per step of time, with the values of `names` stacked."""
    top = rounded(max((sum(column.values()) for column in columns), default=0.0))
    width = (_WIDTH - _LEFT) / max(len(columns), 1)
    drawn: list[str] = []
    for index, column in enumerate(columns):
        below = 0.0
        for place, name in enumerate(names):
            value = column.get(name, 0.0)
            if value:
                high, low = _y(below + value, top), _y(below, top)
                left = _LEFT + index * width
                drawn.append(
                    f'<rect x="{left + 0.5:.1f}" y="{high:.1f}" width="{max(width - 1, 0.5):.1f}" '
                    f'height="{low - high:.1f}" style="fill:{_colour(place)}"/>'
                )
            below += value
    return _plot(title, names, [*_grid(top), *drawn, *_words(marks)])


def rounded(top: float) -> float:
    """Round up to the end of an axis: 111 to 120, 0.83 to 1."""
    if top <= 0:
        return 0.0
    power: float = 10.0 ** math.floor(math.log10(top))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10) if step * power >= top * (1 - 1e-9))


def _plot(title: str, names: Sequence[str], parts: Iterable[str]) -> str:
    legend = "".join(
        f'<span><i style="background:{_colour(index)}"></i>{escape(name)}</span>' for index, name in enumerate(names)
    )
    return svg(title, _TOP + _HEIGHT + _BOTTOM, parts) + f'<p class="legend">{legend}</p>'


def _path(points: Sequence[tuple[float, float | None]], top: float) -> str:
    steps: list[str] = []
    pen_down = False
    for at, value in points:
        if value is not None:
            steps.append(f"{'L' if pen_down else 'M'}{_x(at):.1f} {_y(value, top):.1f}")
        pen_down = value is not None
    return "".join(steps)


def _grid(top: float, unit: str = "") -> Iterator[str]:
    for step in range(_STEPS + 1):
        value = top * step / _STEPS
        y = _y(value, top) if top else _TOP + _HEIGHT * (1 - step / _STEPS)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}"/>'
        if top or not step:
            text = shown(float(f"{value:.3g}")) + unit
            yield f'<text class="soft" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'


def _words(marks: Iterable[Mark]) -> Iterator[str]:
    for at, text in marks:
        yield (
            f'<text class="soft" x="{_x(at):.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{escape(text)}</text>'
        )


def _x(at: float) -> float:
    return _LEFT + (_WIDTH - _LEFT) * at


def _y(value: float, top: float) -> float:
    return _TOP + _HEIGHT * (1 - (value / top if top else 0))


def _colour(index: int) -> str:
    return _COLOURS[min(index, len(_COLOURS) - 1)]
