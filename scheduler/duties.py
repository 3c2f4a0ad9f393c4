"""The duties of a scheduler, each for one queue, all of one shape: `call(now)` says what to send, `took`
reads the answer and returns when to look again (monotonic seconds).

Each is one atomic script with a limit. So any number of schedulers may run; none does a thing twice.
"""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from gopher.config.settings import Settings
from gopher.queue.moves import SERIES, Queue
from gopher.queue.replies import Promoted, Pruned, Rescued, Sampled
from gopher.queue.survey import Survey
from gopher.server.calls import Call
from gopher.server.loop_connection import ALL_BACK
from gopher.server.pipeline import WAITED
from gopher.telemetry.logs import get_logger

log = get_logger("scheduler")

#: Jobs that one script call moves: a larger one would hold up everybody else.
LIMIT = 100


class Duty(ABC):
    """Something that has to be looked at from time to time."""

    @abstractmethod
    def call(self, now: float) -> Call:
        """Return what to send."""

    @abstractmethod
    def took(self, reply: Any, now: float) -> float:
        """Read the answer; return when to look again."""

    def follow_ups(self) -> list[Call]:
        """Return what is to be sent because of the last answer."""
        return []


#: Seconds that a duty sleeps at most until something is due. What comes earlier wakes it; this is for an alarm that got
#: lost.
LONGEST_SLEEP = 5.0


class Sleeper(Duty):
    """A duty that sleeps until the next thing is due."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        #: Seconds; without an end where surveys tell what is due.
        self.longest_sleep = LONGEST_SLEEP


class Promoter(Sleeper):
    """Moves jobs whose time has come to pending."""

    def call(self, now: float) -> Call:
        return self._queue.promote(LIMIT)

    def took(self, reply: Promoted, now: float) -> float:
        if reply.moved >= LIMIT or reply.next_due is None:
            return now if reply.moved >= LIMIT else now + self.longest_sleep
        return now + min(until(reply.next_due, reply.now), self.longest_sleep)


def until(due: int, now: int) -> float:
    """Return the seconds until something is due; both in the server's ms. It counts whole ones: half a one more."""
    return max(due - now, 0) / 1000 + 0.0005


class Redriver(Promoter):
    """Goes on with dead letters that are retried by and by. It sleeps as the promoter does."""

    def call(self, now: float) -> Call:
        return self._queue.continue_redrives(LIMIT)


class Rescuer(Duty):
    """Gives back the jobs of workers that were not heard of for a lease.

    When the server is back after it was away for longer than that, all leases have run out, and workers that live
    may find it a little later than we do. So a call that had to wait, or was refused for a while, rescues no jobs, and
    the next one comes later.
    """

    def __init__(self, queue: Queue, lease: float) -> None:
        self._queue = queue
        #: Seconds between two looks.
        self._period = min(max(lease / 6, 0.5), 5.0)
        #: Seconds until workers have shown that they live once the server is back.
        self._grace = min(lease, ALL_BACK)
        #: The server's now (ms) and ours (monotonic s) when the last answer came.
        self._last: tuple[int, float] | None = None
        #: When we asked first since the last answer.
        self._asked: float | None = None
        self._waited = False

    def call(self, now: float) -> Call:
        last_now, looked = self._last or (None, 0.0)
        self._asked = now if self._asked is None else self._asked
        return self._queue.rescue(last_now, lambda: time.monotonic() - looked, self._limit)

    def _limit(self) -> int:
        self._waited = self._asked is not None and time.monotonic() - self._asked > WAITED
        return 0 if self._waited else LIMIT

    def took(self, reply: Rescued, now: float) -> float:
        self._asked = None
        if reply.step is not None:
            log.warning("the server's clock was set; leases were moved along", by_ms=reply.step)
            self._last = None
            return now
        self._last = (reply.now, now)
        if self._waited:
            return now + self._grace
        if reply.returned or reply.died or reply.workers:
            log.warning(
                "jobs of lost workers went back",
                queue=self._queue.name,
                jobs=reply.returned,
                dead=reply.died,
                workers=",".join(reply.workers),
            )
        return now if reply.returned + reply.died >= LIMIT else now + self._period


class Pruner(Duty):
    """Lets go of what is too old: index entries of records that have run out, dead letters."""

    LIMIT = 1000
    #: Seconds between two looks.
    PERIOD = 10.0

    def __init__(self, queue: Queue, settings: Settings) -> None:
        self._queue = queue
        self._dead_ttl, self._dead_max = settings.dead_ttl, settings.dead_max
        self._place = self._corrupt = 0

    def call(self, now: float) -> Call:
        return self._queue.prune(self._place, self._dead_ttl, self._dead_max, self.LIMIT)

    def took(self, reply: Pruned, now: float) -> float:
        if reply.dead:
            log.info("old dead letters were deleted", queue=self._queue.name, jobs=reply.dead)
        if reply.corrupt > self._corrupt:
            log.error("corrupt records: their jobs are set aside", queue=self._queue.name, jobs=reply.corrupt)
        self._corrupt = reply.corrupt
        # Most of what has run out stands at the front of the index: go on there while there is some.
        more = reply.finished >= self.LIMIT // 2 or reply.dead >= self.LIMIT
        self._place = 0 if more else reply.place
        return now if more else now + self.PERIOD


class Sampler(Duty):
    """Notes how far the counters are, for plots over time."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def call(self, now: float) -> Call:
        return self._queue.sample()

    def took(self, reply: Sampled, now: float) -> float:
        step = min(step for step, _ in SERIES)
        return now + (step - reply.now % step + 1) / 1000


class Surveyor(Duty):
    """Looks what a queue holds. The number of looks a second is limited for all queues together."""

    #: Seconds between two looks at a queue, at least; looks a second at all of them, at most.
    PERIOD, RATE = 5.0, 5.0

    def __init__(self, queue: Queue, count: Callable[[], int]) -> None:
        self._queue = queue
        #: Returns how many queues there are.
        self._count = count
        self._is_first = True

    def call(self, now: float) -> Call:
        return self._queue.survey()

    def took(self, reply: Survey, now: float) -> float:
        # Those that became known together are not looked at together for ever.
        shortest, self._is_first = 0.2 if self._is_first else 0.8, False
        period = max(self.PERIOD, self._count() / self.RATE)
        return now + period * random.uniform(shortest, 1.2)  # noqa: S311 - no secret
