"""The buckets that the scripts count into: of times, and of memory."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise

import msgspec

from gopher.base.latencies import ADDED, BOUNDS, MEMORY, MEMORY_BUCKETS, MEMORY_STEPS

_SECONDS = tuple(bound / 1000 for bound in BOUNDS)
_BYTES = tuple(2 ** (number / MEMORY_STEPS) * 2**20 for number in range(MEMORY_BUCKETS + 1))


class Latency(msgspec.Struct):
    """Latencies of `count` jobs, in seconds; None without data, or beyond the last bucket."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None


class Memory(msgspec.Struct):
    """Memory of `count` attempts, in bytes; None without data. Percentiles are within a fifth of the exact ones."""

    count: int
    mean: int | None
    p50: int | None
    p95: int | None


def latency(buckets: Sequence[int], microseconds: int) -> Latency:
    """Return what buckets say, and the sum of all that fell into them: the same wherever it is shown."""
    count = sum(buckets)
    mean = round(microseconds / 1e6 / count, 6) if count else None
    return Latency(count, mean, quantile(buckets, 0.5), quantile(buckets, 0.95))


def growth(now: int, before: int) -> int:
    """Return the increase of a counter; one that decreased was reset, and counts in full."""
    return now - before if now >= before else now


def with_earlier(fields: Mapping[str, int], earlier: Mapping[str, int]) -> dict[str, int]:
    """Return the stored counters of a type, including what earlier versions have counted with fewer bounds."""
    sums = dict(fields)
    for field, count in earlier.items():
        name, _, number = field.partition(":")
        own = f"{name}:{int(number) + ADDED}" if number.isdecimal() else field
        sums[own] = sums.get(own, 0) + count
    return sums


def buckets_of(fields: Mapping[str, int], name: str) -> list[int]:
    """Return how many fell into each bucket of one histogram of times.

    `fields` are a type's stored counters: `{"run:3": 12, "run:18": 1, "run:sum_us": 9000}`.
    """
    return [fields.get(f"{name}:{number}", 0) for number in range(1, len(BOUNDS) + 2)]


def latency_of(fields: Mapping[str, int], name: str) -> Latency:
    """Return what one histogram of times says."""
    return latency(buckets_of(fields, name), fields.get(f"{name}:sum_us", 0))


def memory_of(fields: Mapping[str, int]) -> Memory:
    """Return what the histogram of memory says."""
    buckets, total = _memory_buckets(fields)
    count = sum(buckets)
    found = [_quantile(buckets, share, _BYTES) for share in (0.5, 0.95)]
    p50, p95 = (None if value is None else round(value) for value in found)
    return Memory(count, round(total / count) if count else None, p50, p95)


def memory_by_files(fields: Mapping[str, int]) -> dict[int, Memory]:
    """Return what the histograms of memory say of jobs with files, by class of these (see `file_class`)."""
    by_class: dict[int, dict[str, int]] = {}
    for field, count in fields.items():
        name, _, number = field.partition(":")
        kind, _, file_class = name.partition("/")
        if kind == MEMORY.name and file_class.isdecimal():
            by_class.setdefault(int(file_class), {})[f"{kind}:{number}"] = count
    return {file_class: memory_of(counts) for file_class, counts in by_class.items()}


def cumulated(fields: Mapping[str, int], name: str) -> tuple[list[tuple[str, float]], float]:
    """Return the buckets of a histogram of times in Prometheus' format, and the sum, in seconds."""
    bounds = [*(f"{bound:g}" for bound in _SECONDS), "+Inf"]
    sums = map(float, accumulate(buckets_of(fields, name)))
    return list(zip(bounds, sums, strict=True)), fields.get(f"{name}:sum_us", 0) / 1e6


def cumulated_memory(fields: Mapping[str, int]) -> tuple[list[tuple[str, float]], float]:
    """Return the histogram of memory in Prometheus' format, and the sum, in bytes: with powers of two up to 64 GiB."""
    buckets, total = _memory_buckets(fields)
    sums = list(map(float, accumulate(buckets)))
    some = range(4 * MEMORY_STEPS, 16 * MEMORY_STEPS + 1, MEMORY_STEPS)
    return [*((f"{_BYTES[number]:.0f}", sums[number]) for number in some), ("+Inf", sums[-1])], float(total)


def _memory_buckets(fields: Mapping[str, int]) -> tuple[list[int], int]:
    numbers = range(MEMORY_BUCKETS + 1)
    beyond = sum(_beyond(fields.items()))
    return [*(fields.get(f"{MEMORY.name}:{at}", 0) for at in numbers), beyond], fields.get(f"{MEMORY.name}:sum", 0)


def _beyond(fields: Iterable[tuple[str, int]]) -> Iterable[int]:
    for field, count in fields:
        name, _, number = field.partition(":")
        if name == MEMORY.name and number.isdecimal() and int(number) > MEMORY_BUCKETS:
            yield count


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Return a quantile (s), interpolated linearly within its bucket.

    With 10 jobs up to 10 ms and 10 up to 25 ms, 0.75 is in the middle of the second bucket: 17.5 ms. None without
    data, or beyond the last bound.
    """
    found = _quantile(buckets, share, _SECONDS)
    return None if found is None else round(found, 6)


def _quantile(buckets: Sequence[int], share: float, bounds: Sequence[float]) -> float | None:
    wanted = share * sum(buckets)
    if not wanted:
        return None
    below = 0
    for (lower, upper), count in zip(pairwise((0, *bounds)), buckets, strict=False):
        if count and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        below += count
    return None
