"""Runs an hour of jobs by processes whose number follows a policy. Nothing waits here: an hour takes milliseconds."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gopher.base.latencies import BOUNDS
from gopher.reads.capacity.staffing import INTERVAL, STARTING

from .workload import Arrival


class Process(NamedTuple):
    """A process: when it is free (s), its number, and which job it has run since when; -1 for none yet."""

    free_at: float
    number: int
    job: int = -1
    since: float = 0.0


@dataclass
class State:
    """The system at the beginning of an interval."""

    now: float = 0.0
    #: Of all processes together, from when they are started until they have exited.
    used: float = 0.0
    #: How many jobs have started, and how many processes there have been.
    started: int = 0
    numbered: int = 0
    #: A heap, and those that exit when their job ends.
    free: list[Process] = field(default_factory=list)
    leaving: list[Process] = field(default_factory=list)
    #: Jobs that have started since the state before: how long each has waited.
    waits: list[float] = field(default_factory=list)

    def running(self, processes: Sequence[Process]) -> list[Process]:
        return [each for each in processes if each.job >= 0 and each.free_at > self.now]


class Simulation:
    """Jobs start in the order of their arrival. Processes need some time to start, and the newest ones leave first."""

    def __init__(self, jobs: Sequence[Arrival], starting: float = STARTING, interval: float = INTERVAL) -> None:
        self.jobs, self._starting, self.interval = jobs, starting, interval

    def step(self, before: State, wanted: int) -> State:
        """Let a number of processes work for an interval."""
        now, until = before.now, before.now + self.interval
        free, numbered, used = [*before.free], before.numbered, before.used
        leaving = [process for process in before.leaving if process.free_at > now]
        for _ in range(wanted - len(free)):
            numbered += 1
            # The first ones are there already.
            heapq.heappush(free, Process(now + (self._starting if now else 0.0), numbered))
        if len(free) > wanted:
            free.sort(key=lambda process: process.number)
            free, quiet = free[:wanted], free[wanted:]
            heapq.heapify(free)
            used += sum(max(process.free_at - now, 0.0) for process in quiet)
            leaving += [process for process in quiet if process.free_at > now]
        started, waits = before.started, []
        while free and started < len(self.jobs):
            job, process = self.jobs[started], free[0]
            start = max(job.at, process.free_at)
            if start >= until:
                break
            heapq.heapreplace(free, Process(start + job.seconds, process.number, started, start))
            waits.append(start - job.at)
            started += 1
        return State(until, used + self.interval * len(free), started, numbered, free, leaving, waits)

    def is_over(self, state: State, length: float) -> bool:
        return state.now >= length and state.started == len(self.jobs)


class Seen(NamedTuple):
    """What a policy may know at a moment: what the server has counted until then, nothing of what comes."""

    now: float
    arrived: Sequence[Arrival]
    waiting: Sequence[Arrival]
    #: Type of each running job, and for how long it has run. Not of processes that leave.
    running: Sequence[tuple[str, float]]
    #: Type -> buckets of the durations of jobs that have ended, and their sum (us).
    histograms: dict[str, tuple[list[int], int]]
    processes: int


#: Returns how many processes there should be.
Policy = Callable[[Seen], int]


class Outcome(NamedTuple):
    """The waits of the jobs, and what it took; `wanted` are the processes of each interval."""

    waits: list[float]
    process_seconds: float
    wanted: list[int]

    def share_within(self, within: float) -> float:
        """Return the share of the jobs that started in time."""
        return sum(wait <= within for wait in self.waits) / max(len(self.waits), 1)


def follow(simulation: Simulation, policy: Policy, length: float) -> Outcome:
    """Follow a policy for some time, and until all jobs have started."""
    state, wanted, waits = State(), list[int](), list[float]()
    observer = _Observer(simulation.jobs)
    while not simulation.is_over(state, length):
        wanted.append(policy(observer.look(state)))
        state = simulation.step(state, wanted[-1])
        waits += state.waits
    return Outcome(waits, total(state), wanted)


def total(state: State) -> float:
    """Return what has been used at the end, when each process exits after its job."""
    return state.used + sum(max(process.free_at - state.now, 0.0) for process in state.free)


class _Observer:
    """Counts the durations of the jobs that have ended."""

    def __init__(self, jobs: Sequence[Arrival]) -> None:
        self._jobs = jobs
        self._histograms: dict[str, tuple[list[int], int]] = {}
        self._running: set[int] = set()
        self._started = 0

    def look(self, state: State) -> Seen:
        running = {process.job for process in state.running([*state.free, *state.leaving])}
        for job in (self._running | set(range(self._started, state.started))) - running:
            self._count(self._jobs[job])
        self._running, self._started = running, state.started
        arrived = bisect_right(self._jobs, state.now, key=lambda job: job.at)
        return Seen(
            state.now,
            self._jobs[:arrived],
            self._jobs[state.started : arrived],
            [(self._jobs[each.job].type, state.now - each.since) for each in state.running(state.free)],
            self._histograms,
            len(state.free),
        )

    def _count(self, job: Arrival) -> None:
        buckets, microseconds = self._histograms.get(job.type, ([0] * (len(BOUNDS) + 1), 0))
        buckets[bisect_left(BOUNDS, job.seconds * 1000)] += 1
        self._histograms[job.type] = buckets, microseconds + round(job.seconds * 1e6)
