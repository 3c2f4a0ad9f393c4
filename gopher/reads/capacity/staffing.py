"""How many processes keep waits short: the arithmetic, without a server.

A process runs one job at a time. Two things need processes:

- what waits now: each job must start before it has waited for `within`. Until then, processes are busy with the jobs
  that run, and with those that start before: c processes have c seconds in each second, and new ones have none until
  they have started (`STARTING`).
- what will arrive: over a horizon, the rest of what runs, what waits, and what arrives at the present rate must fit,
  with a margin for its variance (`MARGIN` standard deviations).

Long jobs count only with the part that falls into the span in question: `min(S, span)`. So one that takes an hour uses
one process, not 60 of them for a minute. The figures below were chosen by simulation: see benchmarks/capacity.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .service_times import ServiceTimes

#: Seconds until a new process runs its first job, and between two looks of what scales.
STARTING, INTERVAL = 10.0, 30.0
#: Part of `within` after which waiting jobs should start.
HURRY = 0.9
#: Standard deviations of the work that arrives.
MARGIN = 0.25
#: Part of a process for which none is added.
SPARE = 0.25
#: Seconds in which jobs that are late should start.
LATE = 15.0


class Load(NamedTuple):
    """The load of a job type."""

    times: ServiceTimes
    #: Per second.
    arrivals: float = 0.0
    waiting: int = 0
    #: For how long each running job has run (s).
    running: tuple[float, ...] = ()


class Need(NamedTuple):
    """How many processes are needed: for the arrivals, for the waiting jobs, and therefore."""

    arrivals: float
    waiting: float
    processes: int


def needed(loads: Sequence[Load], within: float, ages: Sequence[tuple[float, int]], processes: int) -> Need:
    """Return how many processes are needed.

    `ages` of the waiting jobs are (s, number of jobs), the oldest first; `processes` run now.
    """
    steady = _for_arrivals(loads, within)
    drain = _for_waiting(loads, within, ages, processes)
    is_used = any(load.arrivals or load.waiting or load.running for load in loads)
    return Need(steady, drain, max(rounded(max(steady, drain)), int(is_used)))


def rounded(processes: float) -> int:
    """Return a whole number of processes."""
    return max(math.ceil(processes - SPARE), 0)


def spread_evenly(arrivals: Iterable[tuple[float, float, float]], span: float, more: float = 0.0) -> float:
    """Return what arrivals need if their work is spread evenly over a span, and `more` process-seconds of work.

    They are (per second, expectation, variance), of the latter as `ServiceTimes.within` returns them.
    """
    mean, variance = more, 0.0
    for rate, use, spread in arrivals:
        mean += rate * use
        variance += rate * spread
    return (mean + MARGIN * math.sqrt(variance)) / span


def _for_arrivals(loads: Sequence[Load], within: float) -> float:
    """Return what all work of the coming time needs if it is spread evenly."""
    span = within + INTERVAL
    more = sum(load.waiting * load.times.until(span) + _rest(load, span) for load in loads)
    return spread_evenly(((load.arrivals, *load.times.within(span)) for load in loads), span, more)


def _for_waiting(loads: Sequence[Load], within: float, ages: Sequence[tuple[float, int]], processes: int) -> float:
    """Return what lets the jobs that wait start before they have waited for `within`."""
    waiting = sum(load.waiting for load in loads)
    if not waiting:
        return 0.0
    most, before = 0.0, 0
    for left, jobs in _deadlines(within, ages):
        before += jobs
        share = min(before / waiting, 1.0)
        work = sum(share * load.waiting * load.times.until(left) + _rest(load, left) for load in loads)
        missing = work - processes * left
        # New processes have only a part of that time.
        most = max(most, processes + missing / (left - STARTING) if missing > 0 else work / left)
    return min(most, float(waiting + sum(len(load.running) for load in loads)))


def _deadlines(within: float, ages: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return in how many seconds jobs must start, the first ones first; those with similar deadlines together."""
    found: list[tuple[float, int]] = []
    for age, jobs in ages:
        left = max(HURRY * within - age, STARTING + LATE)
        if found and left < found[-1][0] * 1.05:
            found[-1] = (found[-1][0], found[-1][1] + jobs)
        else:
            found.append((left, jobs))
    return found


def _rest(load: Load, span: float) -> float:
    """Return how much of a span the running jobs will use."""
    return sum(load.times.left(ran, span) for ran in load.running)
