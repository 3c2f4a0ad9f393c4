"""What limits a type: a rate, a burst, how many run at once."""

import math
from typing import NamedTuple

from gopher.base.rates import FASTEST, parse_rate

#: Of a burst, and of jobs at once.
MOST = FASTEST


class Limit(NamedTuple):
    """A type's limit: starts per second, from a bucket of `burst`, and the number of running jobs. None: no limit."""

    rate: float | None
    burst: float | None
    concurrency: int | None
    #: Whether it is one limit for each `limit_key`; otherwise all jobs of the type share it, whatever their keys.
    per_key: bool = False


def make_limit(
    rate: str | None, burst: float | None = None, concurrency: int | None = None, *, per_key: bool = False
) -> Limit | None:
    """Return a limit, None if nothing is limited. `burst` defaults to one second of the rate.

    Raises ValueError with what is expected.
    """
    if rate is None and burst is not None:
        raise ValueError("expected a rate with the burst")
    if burst is not None and not 1 <= burst <= MOST:
        raise ValueError(f"expected a burst from 1 to {MOST}")
    if concurrency is not None and not 1 <= concurrency <= MOST:
        raise ValueError(f"expected a concurrency from 1 to {MOST}")
    starts = None if rate is None else parse_rate(rate).per_second
    if starts is not None and burst is None:
        burst = max(1.0, math.ceil(starts))
    if starts is None and concurrency is None:
        return None
    return Limit(starts, burst, concurrency, per_key)
