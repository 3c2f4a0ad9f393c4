"""Retry delays: pure functions, without clock or queue.

Exponential with base 1 s: before jitter, the delays are 1, 2, 4, 8, 16, ... s up to the cap of 5 min. Full jitter draws
uniformly between 0 and that, so that jobs that failed together are not retried together.
"""

import random
from dataclasses import dataclass

from gopher.base.durations import parse_duration
from gopher.errors import ConfigurationError

#: Delay after the first crash of a child (seconds); it doubles with each further one.
CRASH_BACKOFF_BASE = 5.0

_CURVES = ("exponential", "linear", "constant")


@dataclass(frozen=True)
class Backoff:
    """Delays between attempts. `base` and `cap` in seconds, or as `"10s"`."""

    curve: str = "exponential"
    base: float | str = 1.0
    cap: float | str = 300.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.curve not in _CURVES:
            raise ConfigurationError(f"backoff {self.curve!r}: must be one of {', '.join(_CURVES)}")
        object.__setattr__(self, "base", parse_duration(self.base))
        object.__setattr__(self, "cap", parse_duration(self.cap))

    def ceiling(self, failures: int) -> float:
        """Return the maximum delay (s) after that many failures, starting at 1."""
        base, cap = float(self.base), float(self.cap)
        if self.curve == "constant":
            return min(base, cap)
        if self.curve == "linear":
            return min(base * failures, cap)
        # 2.0 ** 1024 overflows; after 64 doublings every cap is reached.
        return min(base * 2.0 ** min(failures - 1, 64), cap)

    def delay(self, failures: int, draw: float | None = None) -> float:
        """Return the delay (s) after that many failures; `draw` in [0, 1) replaces the random number."""
        if not self.jitter:
            return self.ceiling(failures)
        return self.ceiling(failures) * (random.random() if draw is None else draw)  # noqa: S311 - not a secret


def crash_delay(crashes: int) -> float:
    """Return the delay (s) after a job's child has crashed `crashes` times: 5, 10, 20, ... up to 5 min."""
    return Backoff("exponential", CRASH_BACKOFF_BASE).ceiling(crashes)
