"""The duties of a scheduler for a queue, with a common interface: `call(now)` returns the call to send, `took`
processes the reply and returns when the duty is due again (monotonic seconds).

Each is one atomic script with a limit, so that any number of schedulers can run without duplicating work.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from gopher.config.settings import Settings
from gopher.queue.moves import SERIES, Queue
from gopher.queue.relay import Relay
from gopher.queue.replies import Posted, Promoted, Pruned, Rescued, Sampled
from gopher.queue.rescuing import Rescues, steady
from gopher.queue.survey import Survey
from gopher.server.calls import Call
from gopher.server.loop_connection import ALL_BACK
from gopher.server.pipeline import WAITED
from gopher.telemetry.logs import get_logger

log = get_logger("scheduler")

#: Maximum number of jobs that a script call moves: larger calls would delay other clients.
LIMIT = 100


class Duty(ABC):
    """A periodic task for a queue."""

    @abstractmethod
    def call(self, now: float) -> Call:
        """Return the call to send."""

    @abstractmethod
    def took(self, reply: Any, now: float) -> float:
        """Process the reply; return when the duty is due again."""

    def follow_ups(self) -> list[Call]:
        """Return calls that follow from the last reply."""
        return []


#: Maximum seconds that a duty sleeps. Earlier due times wake it with an alarm; this covers lost alarms.
LONGEST_SLEEP = 5.0


class Sleeper(Duty):
    """A duty that sleeps until the next due time."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        #: Seconds; infinite if surveys report what is due.
        self.longest_sleep = LONGEST_SLEEP


class Promoter(Sleeper):
    """Moves due jobs to pending."""

    def call(self, now: float) -> Call:
        return self._queue.promote(LIMIT)

    def took(self, reply: Promoted, now: float) -> float:
        if reply.moved >= LIMIT or reply.next_due is None:
            return now if reply.moved >= LIMIT else now + self.longest_sleep
        return now + min(until(reply.next_due, reply.now), self.longest_sleep)


def until(due: int, now: int) -> float:
    """Return the seconds until the due time; both in the server's ms, which it truncates: half a ms is added."""
    return max(due - now, 0) / 1000 + 0.0005


class Redriver(Promoter):
    """Continues gradual redrives. It sleeps like the promoter."""

    def call(self, now: float) -> Call:
        return self._queue.continue_redrives(LIMIT)


class Canceller(Promoter):
    """Continues cancellations of many jobs, one small step after the other."""

    def call(self, now: float) -> Call:
        return self._queue.continue_cancellations()

    def took(self, reply: Promoted, now: float) -> float:
        # However many it has cancelled: pauses let others go first.
        return super().took(reply._replace(moved=0), now)


class Batcher(Promoter):
    """Continues what is done to all jobs of batches. It sleeps like the promoter."""

    def call(self, now: float) -> Call:
        return self._queue.continue_batches()

    def took(self, reply: Promoted, now: float) -> float:
        return super().took(reply._replace(moved=0), now)


class Relayer(Sleeper):
    """Delivers the queue's outbox to other queues. It sleeps like the promoter."""

    def __init__(self, queue: Queue, relay: Relay) -> None:
        super().__init__(queue)
        self._relay = relay

    def call(self, now: float) -> Call:
        return self._relay.call()

    def took(self, reply: Posted, now: float) -> float:
        self._relay.deliver(reply)
        if reply.next_due is None:
            return now + self.longest_sleep
        return now + min(until(reply.next_due, reply.now), self.longest_sleep)


class Rescuer(Duty):
    """Requeues the jobs of workers without a heartbeat for a lease.

    If the server was unavailable for longer than that, all leases have expired, and live workers may reconnect a little
    later than we do. So no jobs are rescued for a while after there was no reply when there should have been one. A
    scheduler that has just started cannot know whether there would have been.
    """

    def __init__(self, queue: Queue, lease: float) -> None:
        self._name = queue.name
        self._rescues = Rescues(queue)
        #: Seconds between two calls, and those without a reply that are too many: a worker's heartbeat came before, and
        #: its lease lasts longer.
        self._period = min(max(lease / 6, 0.5), 5.0)
        self._longest_silence = max(lease / 2, self._period + 0.25)
        #: Seconds for workers to send heartbeats once the server is back.
        self._grace = min(lease, ALL_BACK)
        #: When all live workers are back (steady s).
        self._all_back_at = 0.0

    def call(self, now: float) -> Call:
        asked_at = steady()
        return self._rescues.call(lambda: self._limit(asked_at))

    def _limit(self, asked_at: float) -> int:
        """Return how many jobs a call may rescue that is sent now, and was due then."""
        now = steady()
        if now - asked_at > WAITED:
            # However short that is: a server that has restarted may have forgotten the last heartbeats.
            self._all_back_at = now + self._grace
        return 0 if now < self._all_back_at or self._was_silent(now) else LIMIT

    def _was_silent(self, now: float) -> bool:
        return now - self._rescues.heard_at > self._longest_silence

    def took(self, reply: Rescued, now: float) -> float:
        read_at = steady()
        if reply.step is not None or self._was_silent(read_at):
            self._all_back_at = read_at + self._grace
        self._rescues.took(reply)
        if reply.step is not None:
            log.warning("the server's clock was changed; leases were shifted", by_ms=reply.step)
            return now
        if reply.returned or reply.died or reply.workers:
            log.warning(
                "requeued jobs of lost workers",
                queue=self._name,
                jobs=reply.returned,
                dead=reply.died,
                workers=",".join(reply.workers),
            )
        if reply.returned + reply.died >= LIMIT:
            return now
        grace = self._all_back_at - read_at
        return now + (min(grace, self._period) if grace > 0 else self._period)


class Pruner(Duty):
    """Prunes index entries of expired records, and old dead letters."""

    LIMIT = 1000
    #: Seconds between two calls.
    PERIOD = 10.0

    def __init__(self, queue: Queue, settings: Settings) -> None:
        self._queue = queue
        self._dead_ttl, self._dead_max = settings.dead_ttl, settings.dead_max
        self._place = self._corrupt = 0

    def call(self, now: float) -> Call:
        return self._queue.prune(self._place, self._dead_ttl, self._dead_max, self.LIMIT)

    def took(self, reply: Pruned, now: float) -> float:
        if reply.dead:
            log.info("deleted old dead letters", queue=self._queue.name, jobs=reply.dead)
        if reply.corrupt > self._corrupt:
            log.error("quarantined jobs with corrupt records", queue=self._queue.name, jobs=reply.corrupt)
        self._corrupt = reply.corrupt
        # Most expired entries are at the front of the index: continue there while there are some.
        more = reply.finished >= self.LIMIT // 2 or reply.dead >= self.LIMIT
        self._place = 0 if more else reply.place
        return now if more else now + self.PERIOD


class Sampler(Duty):
    """Samples the counters for plots over time."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def call(self, now: float) -> Call:
        return self._queue.sample()

    def took(self, reply: Sampled, now: float) -> float:
        step = min(step for step, _ in SERIES)
        return now + (step - reply.now % step + 1) / 1000


class Surveyor(Duty):
    """Surveys a queue. The number of surveys per second is limited for all queues together."""

    #: Minimum seconds between two surveys of a queue; maximum surveys per second of all queues.
    PERIOD, RATE = 5.0, 5.0

    def __init__(self, queue: Queue, count: Callable[[], int]) -> None:
        self._queue = queue
        #: Returns the number of queues.
        self._count = count
        self._is_first = True

    def call(self, now: float) -> Call:
        return self._queue.survey()

    def took(self, reply: Survey, now: float) -> float:
        # With jitter, so that queues that were registered together are not always surveyed together.
        shortest, self._is_first = 0.0 if self._is_first else 0.8, False
        period = max(self.PERIOD, self._count() / self.RATE)
        return now + max(period * random.uniform(shortest, 1.2), 0.2 * self.PERIOD)  # noqa: S311 - no secret
