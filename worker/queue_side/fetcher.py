"""How jobs come in from one queue: a bell that rings when there is something, and fetches.

Behind the bell's BRPOPLPUSH stands a fetch, so that a job which comes to an idle worker is begun at once, without a
round trip more. When the bell's connection is lost, nobody knows whether the server has done it, or will some time
later: then the fetches that follow name its number, and a job that was begun with it and never arrived is given out
by one of them.
"""

import time
from collections import deque
from collections.abc import Callable

from gopher.queue.moves import Fetched, FetchedJob, Queue
from gopher.server.calls import Call, Command
from gopher.server.crashpoints import reached
from gopher.server.event_loop import Wires
from gopher.server.executor import pauses
from gopher.server.pipeline import Bell, Link
from gopher.telemetry.logs import get_logger

from .priority_cycle import Turns

log = get_logger("worker")

#: Seconds that BRPOPLPUSH waits on the server. The worker looks by itself more often than that.
BLOCK = 10
#: Numbers of lost bells that are kept. A job that an older one began comes back when the worker has gone.
LOST_KEPT = 100

#: Takes what a fetch has brought.
Taker = Callable[[Fetched], None]


class Intake:
    """One served queue."""

    def __init__(
        self, queue: Queue, wires: Wires, turns: Turns, poll_interval: float, *, with_prelude: bool = False
    ) -> None:
        self.queue = queue
        self.link: Link = wires.link_to(queue.keys.prefix)
        self.bell: Bell = wires.bell(queue.keys.prefix, self._rung_bell)
        self.bell.given_up = lambda: self._bell_given_up(time.monotonic())
        self._turns = turns
        self._poll_interval = poll_interval
        #: Whether jobs come with what came before their attempts.
        self._with_prelude = with_prelude
        #: Of the next token.
        self._number = 1
        #: Jobs that a fetch under way may bring.
        self.asked_for = 0
        #: Whether more was waiting when the last fetch was answered.
        self.more = True
        self._rang = False
        self._poll_at = 0.0
        #: When the next fetch may be sent, after one that was refused (monotonic s), and the pauses to come.
        self._not_before = 0.0
        self._pauses = pauses()
        #: Of the last bell, who takes what it brings, and numbers of bells whose replies never came.
        self._bell_number = 0
        self._bell_taker: Taker = _ignore
        self._lost_bells: deque[int] = deque(maxlen=LOST_KEPT)
        #: When the last lost one should have ended by itself.
        self._orphans_end = float("inf")

    @property
    def next_numbers(self) -> tuple[int, int]:
        """The first numbers, of fetches and of bells, of which an answer may still come."""
        return self._number, self._bell_number + (not self.bell.waiting)

    @property
    def lost_bells(self) -> list[int]:
        """Numbers of bells whose jobs may still be given out by a fetch."""
        return list(self._lost_bells)

    def expects(self, now: float) -> bool:
        """Return whether a job may stand in our list already, of which we have not heard."""
        return self._rang or now >= self._orphans_end

    def must_fetch(self, now: float) -> bool:
        """Return whether to fetch now whether or not a child is free: for a job that stands in our list already."""
        return self._may_fetch(now) and self.expects(now)

    def wants_fetch(self, now: float) -> bool:
        """Return whether a fetch is likely to bring something, or it is time to look anyhow."""
        return self._may_fetch(now) and (self.more or self._rang or now >= self._poll_at)

    def _may_fetch(self, now: float) -> bool:
        return not self.asked_for and now >= self._not_before

    def look_again(self) -> None:
        """Have a fetch look for jobs that stand in our list already."""
        self._rang = True

    def fetch(self, worker_id: str, want: int, now: float, take: Taker) -> None:
        """Ask for up to `want` jobs; `take` is given what comes."""
        self.asked_for = want
        self._rang = False
        if now >= self._orphans_end:
            self._orphans_end = float("inf")
        self._poll_at = now + self._poll_interval

        def answered(reply: Fetched | Exception) -> None:
            self.asked_for = 0
            if isinstance(reply, Exception):
                self._refused(reply)
            else:
                self._pauses, self._not_before = pauses(), 0.0
                self._number = max(self._number, reply.next_number)
                self._take(reply, take)

        self.link.add(self._fetch_call(worker_id, want, self._number), answered)

    def listen(self, worker_id: str, now: float, spare: float, take: Taker) -> None:
        """Wait on the server for the next job: BRPOPLPUSH next -> processing:<worker>, then a fetch that begins it."""
        if not self.bell.is_free(now, spare):
            return
        keys = self.queue.keys
        pop = Command(keys.next, ("BRPOPLPUSH", keys.next, keys.processing(worker_id), BLOCK))
        self._bell_number, self._bell_taker = self._bell_number + 1, take
        fetch = self._fetch_call(worker_id, 1, self._bell_number, behind_bell=True)
        self.bell.wait([pop, fetch], BLOCK, now, spare)

    def wake_at(self) -> float:
        """Return when to look again or to reach for the bell (monotonic s); never while a fetch is under way."""
        if self.asked_for:
            return float("inf")
        look_at = 0.0 if self._rang else min(self._poll_at, self.bell.wake_at())
        return max(look_at, self._not_before)

    def _refused(self, error: Exception) -> None:
        """Look again soon: an error reply does not say that nothing was begun, and the next fetch brings what was."""
        if not self._not_before:
            log.warning("a fetch was refused by the server; it is repeated", queue=self.queue.name, error=str(error))
        self.more = False
        self._rang = True
        self._not_before = time.monotonic() + next(self._pauses)

    def _fetch_call(self, worker_id: str, want: int, number: int, *, behind_bell: bool = False) -> Call:
        return self.queue.fetch(
            worker_id,
            want,
            number,
            self._turns.order,
            strict=self._turns.strict,
            with_prelude=self._with_prelude,
            behind_bell=behind_bell,
            lost_bells=() if behind_bell else self._lost_bells,
        )

    def _take(self, fetched: Fetched, take: Taker) -> None:
        self.more = fetched.more
        for job in fetched.jobs:
            self._turns.take(job.priority)
        if self._lost_bells:
            self._forget_bells_of(fetched.jobs)
        take(fetched)

    def _forget_bells_of(self, jobs: list[FetchedJob]) -> None:
        """Name no more those whose jobs have come after all."""
        for job in jobs:
            _, bell, number = job.token.rpartition(".b")
            if bell and int(number) in self._lost_bells:
                self._lost_bells.remove(int(number))

    def _rung_bell(self, bell: Bell, now: float) -> None:
        replies = bell.readable(now)
        if replies is None:
            return
        popped, fetched = replies
        if popped is not None:
            reached("bell.rung")
        if isinstance(fetched, Exception):
            self._bell_given_up(now)
            return
        self._poll_at = now + self._poll_interval
        self._take(fetched, self._bell_taker)

    def _bell_given_up(self, now: float) -> None:
        """Look in our list for what the bell has brought, begun or not: now, and when it has surely ended."""
        self._lost_bells.append(self._bell_number)
        self._rang = True
        self._orphans_end = now + BLOCK + 1.0


def _ignore(_fetched: Fetched) -> None:
    pass
