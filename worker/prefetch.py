"""Prefetch policy: a child gets as many jobs as it starts within 20 ms, and the worker holds another one for each child
that will probably be free within 0.2 s.

Jobs that would wait longer are left in the queue, where any worker can fetch them. Durations are estimated from
finished jobs. Round trips are saved on both sides: small numbers of jobs or results wait for the reply in flight, to be
sent together with more.
"""

from collections.abc import Mapping

from gopher.server.pipeline import Pipeline

from .children.channel import DEEPEST
from .children.handle import ChildHandle

#: Seconds within which a child starts its assigned jobs.
STARTED_WITHIN = 0.02
#: Maximum number of jobs assigned to all children together.
DEEPEST_OF_ALL = 512
#: Maximum seconds for which the worker holds the next job for a busy child.
HELD = 0.2
#: Maximum number of jobs per fetch, since the server has other clients, too.
AT_ONCE = 128
#: Number of jobs or results that are sent without waiting for earlier replies, to keep the server busy.
MANY = 32
#: Number of jobs that keep a child busy for a while, their minimum duration, and the maximum pause, in seconds.
PLENTY, QUICKEST, LONGEST_REST = 8, 10e-6, 0.0005


class Prefetch:
    """Calculates how many jobs a worker's children need, from the durations of finished jobs."""

    def __init__(self, children: Mapping[int, ChildHandle]) -> None:
        self._children = children
        self._mean_seconds = 0.0

    def learn(self, seconds: float) -> None:
        """Record the duration of a job."""
        # The first one is the best estimate for the others.
        share = 0.1 if self._mean_seconds else 1.0
        self._mean_seconds += share * (seconds - self._mean_seconds)

    @property
    def depth(self) -> int:
        """The maximum number of jobs per child."""
        return depth_for(self._mean_seconds, len(self._children))

    @property
    def most_queued(self) -> float:
        """How many jobs a child may keep: more than `depth`, as their durations vary."""
        return HELD / self._mean_seconds if self._mean_seconds > 0 else float("inf")

    def room(self) -> int:
        """Return how many jobs the children can take now."""
        depth = self.depth
        return sum([child.room(depth) for child in self._children.values()])

    def held(self, now: float) -> int:
        """Return how many more jobs to hold: one for each child that will need another one soon."""
        return sum([now < end for end in self._held_until()]) if holds_for(self._mean_seconds) else 0

    def held_until(self, now: float) -> float:
        """Return when the first held job will have been held for too long (monotonic s)."""
        return min([end for end in self._held_until() if end > now], default=float("inf"))

    def rest(self) -> float:
        """Return how long to pause while every child has enough jobs, so that outcomes are handled together."""
        given = [len(child.jobs) for child in self._children.values() if child.ready and not child.is_set_aside]
        fewest = min(given, default=0)
        return min(fewest * QUICKEST, LONGEST_REST) if fewest >= PLENTY else 0.0

    def _held_until(self) -> list[float]:
        return [child.jobs[0].started + HELD for child in self._children.values() if child.goes_on]


def holds_for(mean_seconds: float) -> bool:
    """Return whether to prefetch the next jobs, for jobs with this average duration.

    Shorter ones are already queued in the children's channels, and with longer ones any worker may take the next.
    """
    return 0 < mean_seconds <= HELD


def depth_for(mean_seconds: float, children: int) -> int:
    """Return how many jobs each child may have, for jobs with this average duration.

    As many as it starts within 20 ms: twenty at 1 ms per job, two at 8 ms, one at 20 ms.
    """
    if mean_seconds <= 0:
        return 1
    return max(1, int(min(STARTED_WITHIN / mean_seconds, DEEPEST, DEEPEST_OF_ALL / max(children, 1))))


def to_ask_for(room: int, held: int) -> int:
    """Return how many jobs to fetch if children can take `room`, and `held` more should be held.

    0 while more than half of the held ones are left, so that their successors are fetched together in one call.
    """
    wanted = room + held
    return wanted if wanted > held / 2 else 0


def most_of(pipeline: Pipeline) -> int:
    """Return the maximum number of jobs per fetch.

    One job from an unavailable server is enough: other servers may fill the same capacity.
    """
    return AT_ONCE if pipeline.connection.trouble is None else 1


def may_send(pipeline: Pipeline, jobs: int) -> bool:
    """Return whether to send now: small numbers of jobs wait for the last reply, to be sent with more."""
    return not pipeline.busy or (pipeline.takes_another and jobs >= MANY)
