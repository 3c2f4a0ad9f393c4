"""What scales: Gopher's answer, and queue latency alone, as autoscalers use it."""

import math
from collections import Counter

from gopher.reads.capacity.service_times import ONE_SECOND, ServiceTimes
from gopher.reads.capacity.staffing import Load, needed

from .simulation import Policy, Seen

WINDOW = 120.0


def by_capacity(within: float) -> Policy:
    """Follow the answer of /api/v1/capacity."""

    def policy(seen: Seen) -> int:
        ages = [(seen.now - job.at, 1) for job in seen.waiting]
        return needed(loads(seen), within, ages, seen.processes).processes

    return policy


def loads(seen: Seen) -> list[Load]:
    """Return what the server would have counted."""
    recent: Counter[str] = Counter()
    for job in reversed(seen.arrived):
        if job.at < seen.now - WINDOW:
            break
        recent[job.type] += 1
    waiting = Counter(job.type for job in seen.waiting)
    running: dict[str, list[float]] = {}
    for kind, ran in seen.running:
        running.setdefault(kind, []).append(ran)
    window = max(min(WINDOW, seen.now), 10.0)
    known = {kind: ServiceTimes.of_histogram(*histogram) for kind, histogram in seen.histograms.items()}
    return [
        Load(known.get(kind) or ONE_SECOND, recent[kind] / window, waiting[kind], tuple(running.get(kind, ())))
        for kind in {*recent, *waiting, *running}
    ]


def by_latency(within: float) -> Policy:
    """Add processes while the oldest job has waited for too long, and remove one at a time when nothing waits.

    So do HireFire and Judoscale by latency: above the upper bound half as many again, below the lower one a step down.
    """

    def policy(seen: Seen) -> int:
        oldest = _oldest(seen)
        if oldest > within / 2:
            return max(math.ceil(1.5 * seen.processes), 1)
        return max(seen.processes - 1, 1) if oldest < within / 20 else max(seen.processes, 1)

    return policy


def _oldest(seen: Seen) -> float:
    return max((seen.now - job.at for job in seen.waiting), default=0.0)
