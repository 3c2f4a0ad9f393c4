"""How far a worker fetches ahead: a child has in its hands as many jobs as it starts within 20 ms, and the worker holds
one more for each child that is likely to be free within 0.2 s.

What would have to wait longer is left in the queue, where any worker can take it. How long jobs take is learned from
those that have ended. Round trips are saved on both sides: a few jobs or results wait for the reply that is on its way,
so that they may become more.
"""

from collections.abc import Mapping

from gopher.server.pipeline import Pipeline

from .children.channel import DEEPEST
from .children.handle import ChildHandle

#: Seconds within which a child starts what it has in its hands.
STARTED_WITHIN = 0.02
#: Jobs that all children of a worker may have in their hands together.
DEEPEST_OF_ALL = 512
#: Seconds for which the worker holds the next job for a child that is busy, at most.
HELD = 0.2
#: Jobs that are asked for in one call: the server has others to answer too.
AT_ONCE = 128
#: Jobs or results for which the server is not left without work until it has answered what was sent before.
MANY = 32
#: Jobs in a child's hands that keep it busy for a while, the seconds that one takes at least, and the longest rest.
PLENTY, QUICKEST, LONGEST_REST = 8, 10e-6, 0.0005


class Prefetch:
    """Says how many jobs the children of a worker can do with, by how long jobs have taken."""

    def __init__(self, children: Mapping[int, ChildHandle]) -> None:
        self._children = children
        self._mean_seconds = 0.0

    def learn(self, seconds: float) -> None:
        """Take into account how long a job took."""
        # The first one is the best guess of how long the others are.
        share = 0.1 if self._mean_seconds else 1.0
        self._mean_seconds += share * (seconds - self._mean_seconds)

    @property
    def depth(self) -> int:
        """How many jobs each child may have in its hands."""
        return depth_for(self._mean_seconds, len(self._children))

    def room(self) -> int:
        """Return how many jobs the children can take now."""
        depth = self.depth
        return sum([child.room(depth) for child in self._children.values()])

    def held(self, now: float) -> int:
        """Return how many jobs to have at hand beyond those: one for each child that will need another one soon."""
        return sum([now < end for end in self._held_until()]) if holds_for(self._mean_seconds) else 0

    def held_until(self, now: float) -> float:
        """Return when the first job that is held for a child has been held for too long (monotonic s)."""
        return min([end for end in self._held_until() if end > now], default=float("inf"))

    def rest(self) -> float:
        """Return for how many seconds nobody needs us, as every child has plenty to do: outcomes gather meanwhile."""
        fewest = min([len(child.jobs) for child in self._children.values() if child.ready], default=0)
        return min(fewest * QUICKEST, LONGEST_REST) if fewest >= PLENTY else 0.0

    def _held_until(self) -> list[float]:
        return [child.jobs[0].started + HELD for child in self._children.values() if child.goes_on]


def holds_for(mean_seconds: float) -> bool:
    """Return whether the next jobs are to be at hand when children get free, with jobs that take so long on average.

    Shorter ones wait in the children's channels already, and while a long one runs any worker may take the next.
    """
    return 0 < mean_seconds <= HELD


def depth_for(mean_seconds: float, children: int) -> int:
    """Return how many jobs each of so many children may have in its hands when they take so long on average.

    As many as it starts within 20 ms: at 1 ms a job twenty, at 8 ms two, at 20 ms one.
    """
    if mean_seconds <= 0:
        return 1
    return max(1, int(min(STARTED_WITHIN / mean_seconds, DEEPEST, DEEPEST_OF_ALL / max(children, 1))))


def to_ask_for(room: int, held: int) -> int:
    """Return how many jobs to ask for when children can take `room` and `held` more are to be at hand.

    None while more than half of those held are at hand still: those that take their places come with one call.
    """
    wanted = room + held
    return wanted if wanted > held / 2 else 0


def most_of(pipeline: Pipeline) -> int:
    """Return how many jobs to ask a server for in one call, at most.

    Of a server that is away one will do: others may be asked for the same places.
    """
    return AT_ONCE if pipeline.connection.trouble is None else 1


def may_send(pipeline: Pipeline, jobs: int) -> bool:
    """Return whether to send now what concerns so many jobs: few wait for the last reply, that they may become more."""
    return not pipeline.busy or (pipeline.takes_another and jobs >= MANY)
