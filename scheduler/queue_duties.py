"""The duties for a queue: all of them while a worker serves it, otherwise those that surveys find necessary."""

import time
from collections.abc import Callable

from gopher.config.settings import Settings
from gopher.queue.moves import Queue
from gopher.queue.relay import Relay
from gopher.queue.survey import Survey
from gopher.server.pipeline import Pipeline
from gopher.telemetry.logs import get_logger

from .duties import (
    LONGEST_SLEEP,
    Batcher,
    Canceller,
    Duty,
    Promoter,
    Pruner,
    Redriver,
    Relayer,
    Rescuer,
    Sampler,
    Sleeper,
    Surveyor,
    until,
)
from .ticker import Ticker

log = get_logger("scheduler")

#: Seconds until a rejected duty is retried.
AFTER_ERROR = 1.0
#: Up to this number of queues, idle ones are sampled for plots, too.
_FEW = 10
_NEVER = float("inf")


class QueueDuties:
    """The duties for a queue and their times. `count` returns the number of queues; `surveyed` is called with each
    survey, `moving` with the names of schedules that are moving to other queues. `relay` delivers the outbox."""

    def __init__(
        self,
        queue: Queue,
        pipeline: Pipeline,
        settings: Settings,
        count: Callable[[], int],
        surveyed: Callable[["QueueDuties", Survey, float], None],
        moving: Callable[[str], None],
        relay: Relay,
    ) -> None:
        self.queue = queue
        self._pipeline = pipeline
        self._surveyed = surveyed
        ticker = Ticker(queue, settings.namespace, moving)
        gradual = (Redriver(queue), Canceller(queue), Batcher(queue))
        self._sleepers: list[Sleeper] = [Promoter(queue), ticker, *gradual, Relayer(queue, relay)]
        self._rescuer = Rescuer(queue, settings.worker_lease)
        self._pruner, self._sampler = Pruner(queue, settings), Sampler(queue)
        self._surveyor, self._count = Surveyor(queue, count), count
        self._counted = -1
        self._prune_at = self._sample_at = 0.0
        #: Whether no worker serves the queue, and none was lost.
        self._quiet = True
        #: When each is due next (monotonic s); infinity while its call is in flight. A survey comes first.
        self._due: dict[Duty, float] = {
            **dict.fromkeys([*self._sleepers, self._rescuer, self._pruner, self._sampler], _NEVER),
            self._surveyor: 0.0,
        }
        #: Until when a duty pauses after one of its calls was rejected.
        self._rests: dict[Duty, float] = {}

    @property
    def next_due(self) -> float:
        return min(self._due.values())

    def do(self, now: float) -> None:
        """Send the calls of due duties."""
        if self.next_due > now:
            return
        for duty, due in self._due.items():
            if now >= due:
                self._due[duty] = _NEVER
                self._pipeline.add(duty.call(now), self._taker(duty))

    def look_soon(self) -> None:
        """Check what is due after an alarm."""
        self._due[self._surveyor] = 0.0
        if not self._quiet:
            self._due |= dict.fromkeys(self._sleepers, 0.0)

    def survey_at(self, when: float) -> None:
        """Survey the queue at a given time, or earlier."""
        self._due[self._surveyor] = min(self._due[self._surveyor], when)

    def _taker(self, duty: Duty) -> Callable[[object], None]:
        def take(reply: object) -> None:
            now = time.monotonic()
            if isinstance(reply, Exception):
                log.error("the server rejected a duty", duty=type(duty).__name__, error=str(reply))
                self._due[duty] = now + AFTER_ERROR
                return
            due = duty.took(reply, now)
            if duty is self._sampler:
                self._sample_at = due
            if self._quiet and due > now and not isinstance(duty, Sleeper | Surveyor):
                due = _NEVER
            self._due[duty] = max(min(due, self._due[duty]), self._rests.pop(duty, 0.0))
            for call in duty.follow_ups():
                self._pipeline.add(call, lambda reply: self._take_follow_up(duty, reply))
            if isinstance(reply, Survey):
                self._take_survey(reply, now)

        return take

    def _take_follow_up(self, duty: Duty, reply: object) -> None:
        if isinstance(reply, Exception):
            log.error("failed to enqueue a schedule's jobs", error=str(reply))
            # It is still due: without a pause, it would be tried and rejected in a busy loop.
            self._rests[duty] = time.monotonic() + AFTER_ERROR
            self._due[duty] = max(self._due[duty], self._rests[duty])

    def _take_survey(self, found: Survey, now: float) -> None:
        was_quiet, self._quiet = self._quiet, not (found.served or found.fenced)
        for sleeper in self._sleepers:
            sleeper.longest_sleep = _NEVER if self._quiet else LONGEST_SLEEP
        if self._quiet:
            self._find_work(found, now)
        elif was_quiet:
            self._due = {duty: min(due, now) if duty is not self._surveyor else due for duty, due in self._due.items()}
        self._counted = found.counted
        self._surveyed(self, found, now)

    def _find_work(self, found: Survey, now: float) -> None:
        """Run only the necessary duties of a queue without workers."""
        if found.next_due is not None:
            due = now + until(found.next_due, found.now)
            for sleeper in self._sleepers:
                self._due[sleeper] = min(self._due[sleeper], due)
        if found.ended and now >= self._prune_at:
            self._prune_at = now + Pruner.PERIOD
            self._due[self._pruner] = now
        changed = found.counted != self._counted and found.counted
        if changed or (found.holds and self._count() <= _FEW and now >= self._sample_at):
            self._due[self._sampler] = now
