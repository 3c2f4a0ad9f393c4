"""The cycle of priorities: exact weights, evenly distributed.

With weights 5:3:1 the cycle is `hnhlhnhnh`: nine slots, five of them high, three normal, one low, and this ratio holds
for any nine consecutive jobs while all three have waiting jobs.
"""

from collections.abc import Mapping
from functools import reduce
from math import gcd

from gopher.base.priorities import LETTERS, STRICT_ORDER


class PriorityCycle:
    """A worker's position in its cycle. `order` is passed to fetches."""

    def __init__(self, weights: Mapping[str, int] | str) -> None:
        self.strict = isinstance(weights, str)
        self._cycle = STRICT_ORDER if isinstance(weights, str) else smooth_cycle(weights)
        self._place = 0
        #: For each priority and position: the position after the priority's next slot.
        self._behind = {name: _places_behind(letter, self._cycle) for name, letter in LETTERS.items()}

    @property
    def order(self) -> str:
        """The letters of the priorities for one cycle, from the next slot on."""
        return self._cycle[self._place :] + self._cycle[: self._place]

    def take(self, priority: str) -> None:
        """Advance past the next slot of `priority`, after a job of it was fetched (fetch.lua does the same)."""
        # An unknown priority: the job's record is corrupt.
        if not self.strict and priority in self._behind:
            self._place = self._behind[priority][self._place]


def _places_behind(letter: str, cycle: str) -> list[int]:
    return [((cycle + cycle).find(letter, place) + 1) % len(cycle) for place in range(len(cycle))]


def smooth_cycle(weights: Mapping[str, int]) -> str:
    """Return one cycle of turns by smooth weighted round robin (as nginx does it), a letter each.

    In each step every priority gains its weight; the one with the most is chosen and pays the sum. For 5:3:1 that is
    h n h l h n h n h: no priority waits longer than its weight implies.
    """
    divisor = reduce(gcd, weights.values())
    shares = {name: weight // divisor for name, weight in weights.items()}
    total = sum(shares.values())
    credit = dict.fromkeys(shares, 0)
    cycle = ""
    for _ in range(total):
        for name, share in shares.items():
            credit[name] += share
        richest = max(credit, key=lambda name: credit[name])
        credit[richest] -= total
        cycle += LETTERS[richest]
    return cycle
