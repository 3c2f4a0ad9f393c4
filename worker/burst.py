"""Burst mode: the worker exits once its queues have nothing left to run."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from gopher.server.calls import Command
from gopher.telemetry.logs import get_logger

from .crew import Crew
from .queue_side.clock import ServerClock
from .queue_side.served_queue import ServedQueue
from .shutdown import Shutdown

log = get_logger("worker")

#: Jobs of limited types that may start within this time (ms) are waited for; paused ones wait for a day at least.
SOON = 3_600_000
#: Maximum seconds between two looks while jobs wait for their limits, and the minimum: so that few looks find nothing.
PAUSE, LEAST = 1.0, 0.02


class Burst:
    """Stops a worker that has looked everywhere and found nothing.

    An idle worker moves the jobs that are due to the waiting ones, and fetches once more after that. If no job has
    come by the time all replies are there, none is left.
    """

    def __init__(self, queues: Mapping[str, ServedQueue], crew: Crew, clock: ServerClock, shutdown: Shutdown) -> None:
        self._queues = queues
        self._crew = crew
        self._clock = clock
        self._shutdown = shutdown
        #: Whether the last look has been sent and no job has come since.
        self._looking = False
        #: Names of queues whose reply is due, and of those with throttled jobs that may start soon.
        self._unanswered: set[str] = set()
        self._throttled: set[str] = set()
        self._not_before = 0.0

    def check(self, now: float) -> None:
        """Look for jobs if the worker is idle; stop it if the last look has found none."""
        if not self._is_idle(now):
            self._looking = False
        elif self._unanswered:
            return
        elif not self._looking:
            self._look(now)
        elif self._throttled:
            self._ask_when(now)
        else:
            log.info("no job is waiting: stopping", part="burst")
            self._shutdown.stop()

    def _is_idle(self, now: float) -> bool:
        if self._crew.busy() or self._crew.backlog or self._crew.held or self._crew.quiet:
            return False
        return all(
            served.lease.granted
            and not served.settler.waiting
            and not (served.fetcher.asked_for or served.fetcher.more or served.fetcher.expects(now))
            for served in self._queues.values()
        )

    def _look(self, now: float) -> None:
        if now < self._not_before:
            return
        self._looking = True
        self._throttled.clear()
        soon = self._clock.now() + SOON
        for served in self._queues.values():
            pipeline, keys = served.fetcher.pipeline, served.queue.keys
            self._unanswered.add(served.name)
            # In this order, on one connection: the fetch sees what has been moved.
            pipeline.add(served.queue.promote())
            pipeline.add(
                Command(keys.throttled, ("ZCOUNT", keys.throttled, "-inf", str(soon))),
                partial(self._take_throttled, served.name),
            )
            served.fetcher.look_again()

    def wake_at(self) -> float:
        """Return when to look again, inf unless jobs wait for their limits."""
        is_waiting = self._throttled and not (self._looking or self._unanswered)
        return self._not_before if is_waiting else float("inf")

    def _ask_when(self, now: float) -> None:
        """Ask when the first throttled job may start: what was fetched last has changed that. Then look again."""
        self._looking, self._not_before = False, now + PAUSE
        for name in self._throttled:
            served = self._queues[name]
            key = served.queue.keys.throttled
            self._unanswered.add(name)
            served.fetcher.pipeline.add(
                Command(key, ("ZRANGE", key, "0", "0", "WITHSCORES")), partial(self._take_time, name)
            )

    def _take_time(self, name: str, first: Any) -> None:
        self._unanswered.discard(name)
        if not isinstance(first, Exception) and first:
            at = max(self._clock.when(round(float(first[1]))), time.monotonic() + LEAST)
            self._not_before = min(self._not_before, at)

    def _take_throttled(self, name: str, count: Any) -> None:
        self._unanswered.discard(name)
        if isinstance(count, Exception):
            # Look again in a while.
            self._looking, self._not_before = False, time.monotonic() + PAUSE
        elif count:
            self._throttled.add(name)
