"""When an idle worker calls the server.

It polls with blocking pops: each ends after a poll interval, and the fetch behind it is the poll. What else is due, a
heartbeat above all, is sent between two of them on the same connection. So an idle worker has one connection for each
queue, and no call is late.
"""

from dataclasses import dataclass
from typing import Self

from gopher.config.settings import Settings

#: Heartbeats per lease.
BEATS = 6
#: An idle server checks ten times a second which blocking commands have to end: seconds by which they end late.
LATE = 0.1
#: Minimum and maximum seconds of a blocking pop: it takes as long to notice that its connection died silently.
SHORTEST, LONGEST = 0.2, 10.0


@dataclass(frozen=True)
class Rhythm:
    """Durations in seconds."""

    poll_interval: float
    #: Between two heartbeats.
    beat: float

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        return cls(settings.worker_poll_interval, settings.worker_lease / BEATS)

    @property
    def pop(self) -> float:
        """How long a blocking pop waits. Two fit between two heartbeats, so that one always ends in time."""
        return max(min(self.poll_interval, self.beat / 2, LONGEST) - LATE, SHORTEST)

    @property
    def overdue(self) -> float:
        """How long after the start of a blocking pop the next poll does not wait for its end any more."""
        return self.pop + LATE + self.poll_interval

    @property
    def ahead(self) -> float:
        """What is due within this time is done between two blocking pops: the next one may end too late for it.

        Less than the time between two heartbeats: otherwise, the next one would follow at once.
        """
        return min(self.pop + 3 * LATE, 0.9 * self.beat)
