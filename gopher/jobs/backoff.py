"""When a failed attempt is tried again: pure functions, no clock, no queue.

Exponential, base 1 s: the waits before jitter are 1, 2, 4, 8, 16, ... s up to the cap of 5 min.
Full jitter draws evenly between 0 and that, so that jobs which failed together come back apart.
"""

import random
from dataclasses import dataclass

from gopher.base.durations import parse_duration
from gopher.errors import ConfigurationError

#: Wait after the first death of a child (seconds); it doubles with each further one.
CRASH_BACKOFF_BASE = 5.0

_CURVES = ("exponential", "linear", "constant")


@dataclass(frozen=True)
class Backoff:
    """How long to wait between attempts. `base` and `cap` in seconds, or as `"10s"`."""

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
        """Return the longest wait (s) after that many failures: 1 is after the first."""
        base, cap = float(self.base), float(self.cap)
        if self.curve == "constant":
            return min(base, cap)
        if self.curve == "linear":
            return min(base * failures, cap)
        # 2.0 ** 1024 overflows: past 64 doublings every cap is reached.
        return min(base * 2.0 ** min(failures - 1, 64), cap)

    def delay(self, failures: int, draw: float | None = None) -> float:
        """Return the wait (s) after that many failures; `draw` in [0, 1) replaces the random number."""
        if not self.jitter:
            return self.ceiling(failures)
        return self.ceiling(failures) * (random.random() if draw is None else draw)  # noqa: S311 - not a secret


def crash_delay(crashes: int) -> float:
    """Return the wait (s) after a job's child has died `crashes` times: 5, 10, 20, ... up to 5 min."""
    return Backoff("exponential", CRASH_BACKOFF_BASE).ceiling(crashes)
