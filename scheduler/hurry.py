"""Surveys other queues earlier when one was found empty, since often many are emptied together.

Surveys are few (see `Surveyor`), which is enough as long as queues stay; thousands of empty ones would be removed only
after an hour. Each that is found empty has two others surveyed, those that were not for the longest time: so nearly all
are, as long as most are empty, and hardly any otherwise.
"""

from collections.abc import Callable
from itertools import islice

from .duties import Surveyor

#: How many others, and the maximum number per second.
_OTHERS, _RATE = 2, 300.0


class Hurry:
    """Decides which queues are surveyed earlier. `survey_at` is given a name and a time (monotonic s)."""

    def __init__(self, survey_at: Callable[[str, float], None]) -> None:
        self._survey_at = survey_at
        #: Name -> when it was surveyed, or will be, by time (monotonic s).
        self._surveyed: dict[str, float] = {}
        self._next = 0.0

    def add(self, name: str) -> None:
        self._surveyed[name] = float("-inf")

    def remove(self, name: str) -> None:
        self._surveyed.pop(name, None)

    def take_survey(self, name: str, *, is_empty: bool, now: float) -> None:
        """Process a survey."""
        del self._surveyed[name]
        self._surveyed[name] = now
        if not is_empty:
            return
        for other in [*islice(self._surveyed, _OTHERS)]:
            if now - self._surveyed[other] < Surveyor.PERIOD:
                return
            self._next = max(self._next, now) + 1 / _RATE
            del self._surveyed[other]
            self._surveyed[other] = self._next
            self._survey_at(other, self._next)
