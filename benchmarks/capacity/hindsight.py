"""The schedule that is computed afterwards, with all jobs known: how few processes would have been enough."""

from collections.abc import Sequence

from .simulation import Outcome, Simulation, State, total
from .workload import Arrival

#: Share of the jobs that must start in time.
SHARE = 0.95
#: How many processes are removed at once, in each pass over the hour.
STEPS = (8, 4, 2, 1, 1, 1)


class _Schedule:
    """A number of processes for each interval, and the states that follow: a change is tried from its interval on."""

    def __init__(self, simulation: Simulation, within: float, length: float, counts: Sequence[int]) -> None:
        self._simulation, self._within, self._length = simulation, within, length
        self.counts = list(counts)
        self._states, self._late = [State()], [0]
        self._states, self._late = self._run(0, self.counts)
        self.cost = total(self._states[-1])

    @property
    def outcome(self) -> Outcome:
        return Outcome([wait for state in self._states for wait in state.waits], self.cost, self.counts)

    def is_good(self) -> bool:
        return self._late[-1] <= self._most_late

    @property
    def _most_late(self) -> int:
        return int((1 - SHARE) * len(self._simulation.jobs))

    def try_fewer(self, at: int, fewer: int) -> bool:
        """Remove processes from an interval if the waits allow it and it saves something; return whether they do."""
        if self.counts[at] < fewer:
            return False
        counts = [*self.counts]
        counts[at] -= fewer
        states, late = self._run(at, counts)
        cost = total(states[-1])
        if late[-1] > self._most_late or cost >= self.cost:
            return False
        self.counts, self._states, self._late, self.cost = counts, states, late, cost
        return True

    def _run(self, start: int, counts: list[int]) -> tuple[list[State], list[int]]:
        states, late = self._states[: start + 1], self._late[: start + 1]
        while not self._simulation.is_over(states[-1], self._length) and late[-1] <= self._most_late:
            if len(states) > len(counts):
                # The rest of the jobs, after the hour.
                counts.append(max(counts[-1], 1))
            states.append(self._simulation.step(states[-1], counts[len(states) - 1]))
            late.append(late[-1] + sum(wait > self._within for wait in states[-1].waits))
        return states, late


def schedule(jobs: Sequence[Arrival], within: float, length: float, start: Sequence[int]) -> Outcome:
    """Return the outcome of a good schedule: processes are removed wherever the waits allow it, the most at first.

    Its processes need no time to start, and each interval has a number of its own. `start` is a schedule that is good
    enough, to begin with. It is not known to be the best one, but no schedule can do with less than the work itself.
    """
    best = _Schedule(Simulation(jobs, starting=0.0), within, length, start)
    assert best.is_good()
    for fewer in STEPS:
        # From where there are the most.
        for at in sorted(range(len(best.counts)), key=lambda at: -best.counts[at]):
            best.try_fewer(at, fewer)
    return best.outcome
