"""Retry delays: pure functions, without clock or queue.

Exponential with base 1 s: before jitter, the delays are 1, 2, 4, 8, 16, ... s up to the cap of 5 min. Full jitter draws
uniformly between 0 and that, so that jobs that failed together are not retried together.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gopher.base.durations import parse_duration
from gopher.base.pauses import doubled
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
        return doubled(base, failures - 1, cap)

    def delay(self, failures: int, draw: float | None = None) -> float:
        """Return the delay (s) after that many failures; `draw` in [0, 1) replaces the random number."""
        if not self.jitter:
            return self.ceiling(failures)
        return self.ceiling(failures) * (random.random() if draw is None else draw)  # noqa: S311 - not a secret


@dataclass(frozen=True)
class Waits:
    """A list of delays (s): after the first failure the first one, and so on; after the last one it is repeated."""

    seconds: tuple[float, ...]

    @classmethod
    def of(cls, waits: Sequence[str | float | timedelta]) -> "Waits":
        """Return the delays of a list such as `["10s", "1m", timedelta(minutes=5)]`. Raises ConfigurationError."""
        if not waits:
            raise ConfigurationError("backoff=[]: must have at least one delay")
        try:
            return cls(tuple(map(parse_duration, waits)))
        except ValueError as error:
            raise ConfigurationError(f"backoff={waits!r:.60}: {error}") from None

    def ceiling(self, failures: int) -> float:
        """Return the delay (s) after that many failures, starting at 1."""
        return self.seconds[min(failures, len(self.seconds)) - 1]

    def delay(self, failures: int) -> float:
        """Return the same: there is no jitter."""
        return self.ceiling(failures)


def backoff_of(declared: Any) -> Backoff | Waits:
    """Return what is declared as backoff: the name of a curve, a `Backoff`, or delays. Raises ConfigurationError."""
    if isinstance(declared, Backoff | Waits):
        return declared
    if isinstance(declared, Sequence) and not isinstance(declared, str):
        return Waits.of(declared)
    return Backoff(declared)


def crash_delay(crashes: int) -> float:
    """Return the delay (s) after a job's child has crashed `crashes` times: 5, 10, 20, ... up to 5 min."""
    return Backoff("exponential", CRASH_BACKOFF_BASE).ceiling(crashes)
