"""Delays between attempts and polls."""

import random
from collections.abc import Callable, Iterator

#: Seconds between two polls: initially, and at most.
_FIRST_LOOK, _SLOWEST_LOOK = 0.005, 0.25


def looks() -> Iterator[float]:
    """Yield the delays between polls of an unfinished job."""
    pause = _FIRST_LOOK
    while True:
        yield pause
        pause = min(pause * 1.5, _SLOWEST_LOOK)


def pauses(first: float = 0.02, cap: float = 1.0, draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield the delay before each retry: doubling up to `cap` seconds, with jitter between half and all of it."""
    ceiling = first
    while True:
        yield ceiling * (0.5 + draw() / 2)
        ceiling = min(ceiling * 2, cap)


def doubled(first: float, times: int, cap: float) -> float:
    """Return a delay after it was doubled `times` times, `cap` at most."""
    # 2.0 ** 1024 overflows; after 64 doublings every cap is reached.
    return min(first * 2.0 ** min(times, 64), cap)
