"""The picture of the hours of the week: processes needed, and those that run now."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gopher.jobs.capacity import Capacity, HourLoad

_HOURS = 7 * 24
#: The coordinate system of the drawing: four units an hour.
WIDTH, HEIGHT = 4 * _HOURS, 120


class Week(NamedTuple):
    """A drawing: the steps of the hours that are known, the line of what runs, and the value at the top."""

    needed: str
    running: str
    top: int


def week_of(found: Capacity) -> Week | None:
    """Return the drawing, None if no hour is known yet."""
    if not found.hours:
        return None
    top = max(found.processes, 1, *(each.needed_processes for each in found.hours))
    line = HEIGHT * (1 - found.processes / top)
    return Week("".join(_steps(found.hours, top)), f"M0 {line:.1f}H{WIDTH}", top)


def _steps(hours: Sequence[HourLoad], top: int) -> Iterator[str]:
    before = -2
    for each in hours:
        place = each.weekday * 24 + each.hour
        height = HEIGHT * (1 - each.needed_processes / top)
        yield f"V{height:.1f}" if place == before + 1 else f"M{4 * place} {height:.1f}"
        yield f"H{4 * place + 4}"
        before = place
