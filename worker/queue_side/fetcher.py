"""Fetches jobs from a queue: with a blocking pop that returns when there is a job, and with fetch calls.

The BRPOPLPUSH is followed by a fetch on the same connection, so that an idle worker starts a new job without another
round trip. If the connection of the blocking pop is lost, it is unknown whether the server has executed it, or will do
so later: then further fetches pass its number, and one of them returns a job that was started by it and never arrived.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from gopher.base.pauses import pauses
from gopher.queue.moves import Queue
from gopher.queue.replies import Fetched, FetchedJob
from gopher.server.blocking_pop import BlockingPop
from gopher.server.calls import Call, Command
from gopher.server.crashpoints import reached
from gopher.server.event_loop import EventLoop
from gopher.server.pipeline import Pipeline
from gopher.telemetry.logs import get_logger

from .priority_cycle import PriorityCycle
from .rhythm import Rhythm

log = get_logger("worker")

#: Maximum number of remembered lost blocking pops. A job started by an older one is rescued after the worker's end.
LOST_KEPT = 100

#: Receives the result of a fetch.
Taker = Callable[[Fetched], None]


class Fetcher:
    """The fetcher of a queue."""

    def __init__(
        self,
        queue: Queue,
        event_loop: EventLoop,
        cycle: PriorityCycle,
        rhythm: Rhythm,
        *,
        with_prelude: bool = False,
    ) -> None:
        self.queue = queue
        self._event_loop = event_loop
        self.pipeline: Pipeline = event_loop.pipeline_to(queue.keys.prefix)
        self.blocking_pop: BlockingPop = event_loop.blocking_pop(queue.keys.prefix, self._popped)
        self.blocking_pop.given_up = lambda: self._pop_given_up(time.monotonic())
        self._cycle = cycle
        self._rhythm = rhythm
        #: Timeout of the BRPOPLPUSH in seconds.
        self._block = rhythm.pop
        #: Whether to fetch the trace data of previous attempts.
        self._with_prelude = with_prelude
        #: Number of the next token.
        self._number = 1
        #: Number of jobs requested by the fetch in flight.
        self.asked_for = 0
        #: Whether more jobs were waiting at the last fetch.
        self.more = True
        self._must_look = False
        self._poll_at = 0.0
        #: When the next fetch may be sent after a rejected one (monotonic s), and the next pauses.
        self._not_before = 0.0
        self._pauses = pauses()
        #: Of the last blocking pop, its receiver, and numbers of blocking pops whose replies were lost.
        self._pop_number = 0
        self._pop_taker: Taker = _ignore
        self._lost_pops: deque[int] = deque(maxlen=LOST_KEPT)
        #: When the last lost one must have ended.
        self._orphans_end = float("inf")

    @property
    def next_numbers(self) -> tuple[int, int]:
        """The first numbers of fetches and of blocking pops whose replies may still arrive."""
        return self._number, self._pop_number + (not self.blocking_pop.waiting)

    @property
    def lost_pops(self) -> list[int]:
        """Numbers of blocking pops whose jobs a fetch may still return."""
        return list(self._lost_pops)

    def expects(self, now: float) -> bool:
        """Return whether our list may contain a job that we have not received."""
        return self._must_look or now >= self._orphans_end

    def must_fetch(self, now: float) -> bool:
        """Return whether to fetch even without a free child, for a job that is already in our list."""
        return self.may_fetch(now) and self.expects(now)

    def wants_fetch(self, now: float) -> bool:
        """Return whether a fetch will probably return jobs, or a poll is due."""
        return self.may_fetch(now) and (self.more or self._must_look or now >= self._poll_at)

    def may_fetch(self, now: float) -> bool:
        """Return whether no other fetch is in flight, or was rejected just now."""
        return not self.asked_for and now >= self._not_before

    def look_again(self) -> None:
        """Make a fetch check for jobs that are already in our list."""
        self._must_look = True

    def fetch(self, worker_id: str, want: int, now: float, take: Taker, *, only: str = "") -> None:
        """Fetch up to `want` jobs, `only` those of the priority with that letter; `take` receives the result."""
        self.asked_for = want
        self._must_look = False
        if now >= self._orphans_end:
            self._orphans_end = float("inf")
        self._poll_at = now + self._rhythm.poll_interval
        call = self._fetch_call(worker_id, want, self._number, only=only)
        self.pipeline.add(call, partial(self._answered, take, bool(only)))

    def listen(self, worker_id: str, now: float, spare: float, take: Taker) -> None:
        """Wait on the server for the next job: BRPOPLPUSH next -> processing:<worker>, then a fetch that starts it."""
        if self._yields or not self.blocking_pop.is_free(now, spare):
            return
        keys = self.queue.keys
        pop = Command(keys.next, ("BRPOPLPUSH", keys.next, keys.processing(worker_id), f"{self._block:.3f}"))
        self._pop_number, self._pop_taker = self._pop_number + 1, take
        fetch = self._fetch_call(worker_id, 1, self._pop_number, behind_pop=True)
        self.blocking_pop.wait([pop, fetch], self._block, now, spare)
        self._poll_at = now + self._rhythm.overdue

    @property
    def _yields(self) -> bool:
        """Whether the pipeline has the shared connection, or needs it first."""
        return self._event_loop.sharing and not self.pipeline.idle

    def wake_at(self) -> float:
        """Return when to poll or to start the blocking pop (monotonic s); never while a fetch is in flight."""
        if self.asked_for:
            return float("inf")
        listen_at = float("inf") if self._yields else self.blocking_pop.wake_at()
        look_at = 0.0 if self._must_look else min(self._poll_at, listen_at)
        return max(look_at, self._not_before)

    def _answered(self, take: Taker, is_partial: bool, reply: Fetched | Exception) -> None:
        self.asked_for = 0
        if isinstance(reply, Exception):
            self._refused(reply)
        else:
            self._pauses, self._not_before = pauses(), 0.0
            self._number = max(self._number, reply.next_number)
            self._take(reply, take)
            if is_partial:
                # What others are waiting is not known.
                self.more = True

    def _refused(self, error: Exception) -> None:
        """Fetch again soon: despite an error reply, a job may have been started, which the next fetch returns."""
        if not self._not_before:
            log.warning("the server rejected a fetch; retrying", queue=self.queue.name, error=str(error))
        self.more = False
        self._must_look = True
        self._not_before = time.monotonic() + next(self._pauses)

    def _fetch_call(self, worker_id: str, want: int, number: int, *, behind_pop: bool = False, only: str = "") -> Call:
        return self.queue.fetch(
            worker_id,
            want,
            number,
            self._cycle.order,
            strict=self._cycle.strict,
            with_prelude=self._with_prelude,
            behind_pop=behind_pop,
            lost_pops=() if behind_pop else self._lost_pops,
            only=only,
        )

    def _take(self, fetched: Fetched, take: Taker) -> None:
        self.more = fetched.more
        for job in fetched.jobs:
            self._cycle.take(job.priority)
        if self._lost_pops:
            self._forget_lost(fetched.jobs)
        take(fetched)

    def _forget_lost(self, jobs: list[FetchedJob]) -> None:
        """Remove the numbers whose jobs have arrived after all."""
        for job in jobs:
            _, blocking_pop, number = job.token.rpartition(".b")
            if blocking_pop and int(number) in self._lost_pops:
                self._lost_pops.remove(int(number))

    def _popped(self, blocking_pop: BlockingPop, now: float) -> None:
        replies = blocking_pop.readable(now)
        if replies is None:
            return
        popped, fetched = replies
        if popped is not None:
            reached("pop.answered")
        if isinstance(fetched, Exception):
            self._pop_given_up(now)
            return
        self._poll_at = now + self._rhythm.poll_interval
        self._take(fetched, self._pop_taker)

    def _pop_given_up(self, now: float) -> None:
        """Check our list for the job of a lost blocking pop: now, and when it must have ended."""
        self._lost_pops.append(self._pop_number)
        self._must_look = True
        self._orphans_end = now + self._block + 1.0


def _ignore(_fetched: Fetched) -> None:
    pass
