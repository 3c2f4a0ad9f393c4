"""How fast jobs of a type may start, as people write it: `10/s`, `600/m`, `5/h`."""

import math
import re
from typing import NamedTuple

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*([0-9]*)\s*(s|m|h|d)")
#: Characters.
_LONGEST = 100
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

#: Of a burst, of jobs at once, and of starts a second.
MOST = 1_000_000
#: Starts a second: one in a year. A slower rate is 0, or a mistake.
LEAST = 1 / (366 * 86_400)
EXPECTED = f"a rate such as 10/s, 600/m, 5/h or 1/10s, from 1/366d to {MOST}/s"


class Limit(NamedTuple):
    """A type's limit: starts a second out of a bucket of `burst`, and how many run at once. None: no limit."""

    rate: float | None
    burst: float | None
    concurrency: int | None


def parse_rate(text: str) -> float:
    """Return starts a second: `parse_rate("600/m")` is 10.0, `parse_rate("0/s")` 0.0. Raises ValueError."""
    # As long as no number in it can be out of a float's range.
    match = _RATE.fullmatch(text.strip().lower()) if len(text) <= _LONGEST else None
    period = float(match[2] or 1) * _SECONDS[match[3]] if match else 0.0
    starts = float(match[1]) / period if match and period else -1.0
    if starts and not LEAST * 0.999 <= starts <= MOST:
        raise ValueError(f"expected {EXPECTED}")
    return starts


def make_limit(rate: str | None, burst: float | None = None, concurrency: int | None = None) -> Limit | None:
    """Return a limit, None when nothing is limited. `burst` defaults to what starts in one second.

    Raises ValueError that says what is expected.
    """
    if rate is None and burst is not None:
        raise ValueError("expected a rate with the burst")
    if burst is not None and not 1 <= burst <= MOST:
        raise ValueError(f"expected a burst from 1 to {MOST}")
    if concurrency is not None and not 1 <= concurrency <= MOST:
        raise ValueError(f"expected a concurrency from 1 to {MOST}")
    starts = None if rate is None else parse_rate(rate)
    if starts is not None and burst is None:
        burst = max(1.0, math.ceil(starts))
    if starts is None and concurrency is None:
        return None
    return Limit(starts, burst, concurrency)


def format_rate(starts: float) -> str:
    """Return a rate in the unit that suits it: `format_rate(10.0)` is `10/s`, `format_rate(5 / 3600)` `5/h`."""
    for unit in ("s", "m", "h", "d"):
        count = starts * _SECONDS[unit]
        if count >= 1 and abs(count - round(count)) < 1e-9 * max(count, 1):
            return f"{round(count)}/{unit}"
    return f"{starts:g}/s"
