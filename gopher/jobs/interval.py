"""Intervals of schedules, beside cron expressions: `every 45 minutes`, `every 1h30m`, `@every 90s`.

They are counted from the beginning of 1970 in UTC, so that all schedulers agree, and restarts change nothing.
"""

import re
from datetime import timedelta

from gopher.base.durations import format_duration, parse_duration
from gopher.errors import InvalidJob

from .fire_times import FireTimes, Mark
from .ranges import LONGEST_WAIT

_EVERY = re.compile(r"\s*@?every\b(.*)", re.IGNORECASE | re.DOTALL)
#: Words for units, and what a duration has for them.
_WORDS = re.compile(r"(?:(\d+)\s*)?\b(seconds?|secs?|minutes?|mins?|hours?|days?|weeks?)\b", re.IGNORECASE)
_UNITS = {"s": "s", "m": "m", "h": "h", "d": "d", "w": "d"}


class Interval(FireTimes):
    """Times with the same distance, whatever clocks do. Raises InvalidJob (/cron_expression, /timezone)."""

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        super().__init__(expression, timezone)
        self._period = _milliseconds(expression)

    def _next(self, moment: int) -> tuple[int, Mark]:
        return (moment // self._period + 1) * self._period, ""


def is_interval(expression: str) -> bool:
    return _EVERY.fullmatch(expression) is not None


def every(period: timedelta) -> str:
    """Return the expression of a period."""
    return f"every {format_duration(period.total_seconds())}"


def _milliseconds(expression: str) -> int:
    found = _EVERY.fullmatch(expression)
    text = _WORDS.sub(_short, found[1] if found else "")
    try:
        seconds = parse_duration("".join(text.split()))
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_WAIT or seconds % 1:
        example = "expected whole seconds, such as every 45 minutes, every 1h30m or @every 90s"
        raise InvalidJob(f"is {expression!r:.120}: {example}, up to {LONGEST_WAIT / 86400:g}d", "/cron_expression")
    return round(seconds) * 1000


def _short(word: re.Match[str]) -> str:
    """Return `45 minutes` as `45m`, and `minute` as `1m`."""
    unit = word[2][0].lower()
    return f"{int(word[1] or 1) * (7 if unit == 'w' else 1)}{_UNITS[unit]}"
