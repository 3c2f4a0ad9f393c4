"""How long jobs of a type take, as the histogram of their attempts says; and how long a running one still will."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

from gopher.base.latencies import BOUNDS

_SECONDS = (0.0, *(bound / 1000 for bound in BOUNDS), 2 * BOUNDS[-1] / 1000)
#: Into how many points each bucket is divided, with equal distances.
_POINTS = 4
#: Seconds that a job takes of a type of which nothing is known, nor of any other.
ASSUMED = 1.0


class ServiceTimes(NamedTuple):
    """A distribution: `points` are (seconds, probability), the shortest first.

    All other methods are expectations: of `min(S, longest)`, for example, where S is the duration of a job.
    """

    points: tuple[tuple[float, float], ...]
    #: Whether it was measured, rather than assumed.
    measured: bool = True

    @classmethod
    def of_histogram(cls, buckets: Sequence[int], microseconds: int) -> "ServiceTimes | None":
        """Return what a histogram of attempts says, with the exact mean; None if it is empty."""
        count = sum(buckets)
        if not count:
            return None
        points = [
            (low + (high - low) * (number + 0.5) / _POINTS, of_bucket / count / _POINTS)
            for (low, high), of_bucket in zip(pairwise(_SECONDS), buckets, strict=True)
            if of_bucket
            for number in range(_POINTS)
        ]
        scale = microseconds / 1e6 / count / sum(seconds * share for seconds, share in points)
        return cls(tuple((seconds * scale, share) for seconds, share in points))

    @classmethod
    def mixed(cls, parts: Iterable[tuple[float, Self]]) -> "ServiceTimes | None":
        """Return the distribution of a mixture of (weight, distribution); None if there is none."""
        known = [(weight, part) for weight, part in parts if weight > 0]
        total = sum(weight for weight, _ in known)
        points = sorted((seconds, weight / total * share) for weight, part in known for seconds, share in part.points)
        return cls(tuple(points)) if points else None

    @property
    def mean(self) -> float:
        return sum(seconds * share for seconds, share in self.points)

    def until(self, longest: float) -> float:
        """Return the expectation of `min(S, longest)`: what a job uses of that time if it is started now."""
        return sum(min(seconds, longest) * share for seconds, share in self.points)

    def within(self, span: float) -> tuple[float, float]:
        """Return what jobs that arrive at a rate of 1/s in a span use of it: expectation and variance."""
        mean = variance = 0.0
        for seconds, share in self.points:
            whole = min(seconds, span)
            # Those that arrive early are finished; the last ones use what is left of the span.
            mean += share * (whole * whole / 2 + whole * (span - whole))
            variance += share * (whole**3 / 3 + whole * whole * (span - whole))
        return mean, variance

    def left(self, ran: float, longest: float) -> float:
        """Return the expectation of `min(S - ran, longest)` of a job that has run for so long."""
        rest = [(seconds - ran, share) for seconds, share in self.points if seconds > ran]
        if not rest:
            # Longer than any other: as long again.
            return min(max(ran, ASSUMED), longest)
        return sum(min(seconds, longest) * share for seconds, share in rest) / sum(share for _, share in rest)


ONE_SECOND = ServiceTimes(((ASSUMED, 1.0),), measured=False)
