"""How jobs come in from one queue: a bell that rings when there is something, and fetches.

Behind the bell's BRPOPLPUSH stands a fetch, so that a job which comes to an idle worker is begun at once, without a
round trip more. The number of its token was set aside when it was sent. When the bell's connection is lost, nobody
knows whether the server has done it, or will some time later: then all further fetches name that number, and a job
that was begun with it and never arrived is given out by one of them.
"""

from collections import deque
from collections.abc import Callable

from gopher.crashpoints import reached
from gopher.link import Bell, Link
from gopher.presence import Command
from gopher.queue import Call, Fetched, Queue
from gopher.wires import Wires

from .turns import Turns

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
        self.bell.given_up = self._bell_given_up
        self._turns = turns
        self._poll_interval = poll_interval
        #: Whether jobs come with what came before their attempts.
        self._with_prelude = with_prelude
        #: Of the next token that was not given to anything yet.
        self._number = 1
        #: Jobs that a fetch under way may bring.
        self.asked_for = 0
        #: Whether a fetch was refused: it may have given out numbers that only the next one can tell of.
        self._refused = False
        #: Whether more was waiting when the last fetch was answered.
        self.more = True
        self._rang = False
        self._poll_at = 0.0
        #: What the bell's fetch may give out, who takes it, and numbers of bells whose replies never came.
        self._bell_number = 0
        self._bell_taker: Taker = _nobody
        self._lost_bells: deque[int] = deque(maxlen=LOST_KEPT)

    @property
    def must_fetch(self) -> bool:
        """Whether a job stands in our list already, whether or not a child is free for it."""
        return self._rang and not self.asked_for

    def wants_fetch(self, now: float) -> bool:
        """Return whether a fetch is likely to bring something, or it is time to look anyhow."""
        return not self.asked_for and (self.more or self._rang or now >= self._poll_at)

    def fetch(self, worker_id: str, want: int, now: float, take: Taker) -> None:
        """Ask for up to `want` jobs; `take` is given what comes."""
        self.asked_for = want
        self._rang = False
        self._poll_at = now + self._poll_interval

        def answered(reply: Fetched | Exception) -> None:
            self.asked_for = 0
            self._refused = isinstance(reply, Exception)
            if isinstance(reply, Exception):
                # The next look comes with the poll.
                self.more = False
            else:
                self._take(reply, take)

        self.link.add(self._fetch_call(worker_id, want), answered)

    def listen(self, worker_id: str, now: float, spare: float, take: Taker) -> None:
        """Wait on the server for the next job: BRPOPLPUSH next -> processing:<worker>, then a fetch that begins it."""
        if self.bell.waiting or self._refused:
            return
        keys = self.queue.keys
        pop = Command(keys.next, ("BRPOPLPUSH", keys.next, keys.processing(worker_id), BLOCK))
        fetch = self._fetch_call(worker_id, 1, behind_bell=True)
        self._bell_number, self._bell_taker = self._number, take
        # Set aside, whatever becomes of it: a token is never given out twice.
        self._number += 1
        self.bell.wait([pop, fetch], BLOCK, now, spare)

    def wake_at(self) -> float:
        """Return when to look again or to reach for the bell (monotonic s); never while a fetch is under way."""
        if self.asked_for:
            return float("inf")
        return min(self._poll_at, self.bell.wire.wake_at())

    def _fetch_call(self, worker_id: str, want: int, *, behind_bell: bool = False) -> Call:
        return self.queue.fetch(
            worker_id,
            want,
            self._number,
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
            number = int(job.token.rpartition(".")[2])
            self._number = max(self._number, number + 1)
            if number in self._lost_bells:
                self._lost_bells.remove(number)
        take(fetched)

    def _rung_bell(self, bell: Bell, now: float) -> None:
        replies = bell.readable(now)
        if replies is None:
            return
        popped, fetched = replies
        if popped is not None:
            reached("bell.rung")
        if isinstance(fetched, Exception):
            self._bell_given_up()
            return
        self._poll_at = now + self._poll_interval
        self._take(fetched, self._bell_taker)

    def _bell_given_up(self) -> None:
        """Look in our list for what the bell has brought, begun or not."""
        self._lost_bells.append(self._bell_number)
        self._rang = True


def _nobody(_fetched: Fetched) -> None:
    pass
