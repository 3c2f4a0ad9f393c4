"""Medians, percentiles, and ratios with minimum and maximum."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """A median with minimum and maximum."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def ratios(values: Sequence[float], others: Sequence[float]) -> Spread:
    """Return the ratio of two contenders, round by round, which cancels out changes in the machine's speed."""
    return spread([value / other for value, other in zip(values, others, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile (the nearest value)."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def shown(value: float) -> str:
    """Format a figure with three digits, and thousands separators."""
    if value != value:
        return "-"
    if value >= 1000:
        return f"{round(value, 3 - len(str(int(value)))):,.0f}"
    return f"{value:.3g}"
