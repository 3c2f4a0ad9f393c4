"""How long to wait before the next try."""

import random
from collections.abc import Callable, Iterator

#: Seconds between two looks at what will change: at first, and at most.
_FIRST_LOOK, _SLOWEST_LOOK = 0.005, 0.25


def looks() -> Iterator[float]:
    """Yield how long to wait before each further look at a job that has not ended."""
    pause = _FIRST_LOOK
    while True:
        yield pause
        pause = min(pause * 1.5, _SLOWEST_LOOK)


def pauses(first: float = 0.02, cap: float = 1.0, draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield how long to wait before each repeat: doubling up to `cap` seconds, with jitter from a half up."""
    ceiling = first
    while True:
        yield ceiling * (0.5 + draw() / 2)
        ceiling = min(ceiling * 2, cap)
