"""The latency buckets that the scripts count into."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

import msgspec

from gopher.base.latencies import BOUNDS


class Latency(msgspec.Struct):
    """Latencies of `count` jobs, in seconds; None without data, or beyond the last bucket."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None


def latency(buckets: Sequence[int], microseconds: int) -> Latency:
    """Return what buckets say, and the sum of all that fell into them: the same wherever it is shown."""
    count = sum(buckets)
    mean = round(microseconds / 1e6 / count, 6) if count else None
    return Latency(count, mean, quantile(buckets, 0.5), quantile(buckets, 0.95))


def growth(now: int, before: int) -> int:
    """Return the increase of a counter; one that decreased was reset, and counts in full."""
    return now - before if now >= before else now


def buckets_of(fields: Mapping[str, int], name: str) -> list[int]:
    """Return how many fell into each bucket of one histogram.

    `fields` are a type's stored counters: `{"run:3": 12, "run:18": 1, "run:sum_us": 9000}`.
    """
    return [fields.get(f"{name}:{number}", 0) for number in range(1, len(BOUNDS) + 2)]


def latency_of(fields: Mapping[str, int], name: str) -> Latency:
    """Return what one histogram says."""
    return latency(buckets_of(fields, name), fields.get(f"{name}:sum_us", 0))


def cumulated(fields: Mapping[str, int], name: str) -> tuple[list[tuple[str, float]], float]:
    """Return the buckets of a histogram in Prometheus' format, and the sum, in seconds."""
    bounds = [*(f"{bound / 1000:g}" for bound in BOUNDS), "+Inf"]
    sums = map(float, accumulate(buckets_of(fields, name)))
    return list(zip(bounds, sums, strict=True)), fields.get(f"{name}:sum_us", 0) / 1e6


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Return a quantile (s), interpolated linearly within its bucket.

    With 10 jobs up to 10 ms and 10 up to 25 ms, 0.75 is in the middle of the second bucket: 17.5 ms. None without
    data, or beyond the last bound.
    """
    wanted = share * sum(buckets)
    if not wanted:
        return None
    below = 0
    for (lower, upper), count in zip(pairwise((0, *BOUNDS)), buckets, strict=False):
        if count and below + count >= wanted:
            return round((lower + (upper - lower) * (wanted - below) / count) / 1000, 6)
        below += count
    return None
