"""Looks for jobs of the highest priority in a queue while all children are busy with others.

It waits with blocking commands that change nothing: `BLMOVE` of a list to itself returns when something is in the list.
Which lists that can be follows from the last fetch: while `next` is empty, each new job goes there; while it holds a
job of another priority, urgent ones go to `pending`, or to a tenant, which then is in the ring.
"""

import time
from functools import partial

from gopher.base.pauses import pauses
from gopher.base.priorities import LETTERS, PRIORITIES
from gopher.queue.replies import Fetched
from gopher.server.blocking_pop import BlockingPop
from gopher.server.calls import Command
from gopher.server.event_loop import EventLoop

from .fetcher import Fetcher, Taker
from .rhythm import Rhythm

#: The priority whose jobs need not wait for others.
URGENT = PRIORITIES[0]


class UrgentWatch:
    """The watch of a queue."""

    def __init__(self, fetcher: Fetcher, event_loop: EventLoop, rhythm: Rhythm) -> None:
        self._fetcher = fetcher
        self._event_loop = event_loop
        self._rhythm = rhythm
        self._pops: dict[str, BlockingPop] = {}
        #: Whether there may be an urgent job that no fetch has looked for.
        self._may_have = True
        self._is_asking = self._was_woken = self._next_is_taken = False
        #: When the next fetch may be sent after one that has found nothing, although there was something (monotonic s).
        self._not_before = 0.0
        self._pauses = pauses(cap=rhythm.poll_interval)

    def wants_fetch(self, now: float) -> bool:
        """Return whether a fetch may find an urgent job."""
        if self._is_asking and not self._fetcher.asked_for:
            # The server has rejected it.
            self._is_asking, self._may_have = False, True
        return self._may_have and now >= self._not_before and self._fetcher.may_fetch(now)

    def is_looking(self, now: float) -> bool:
        """Return whether it will soon be known whether there is an urgent job: not from a server without answers."""
        return self._fetcher.pipeline.connection.answers and (self._is_asking or self.wants_fetch(now))

    def fetch(self, worker_id: str, want: int, now: float, take: Taker) -> None:
        """Fetch up to `want` urgent jobs; `take` receives them."""
        self._may_have, self._is_asking = False, True
        self._fetcher.fetch(worker_id, want, now, partial(self._take, want, take), only=LETTERS[URGENT])

    def listen(self, now: float, spare: float) -> None:
        """Wait on the server until there may be an urgent job; connecting may take `spare` seconds."""
        if self._may_have or self._is_asking:
            return
        for key in self._keys():
            pop = self._pops.get(key)
            if pop is None:
                pop = self._pops[key] = self._event_loop.blocking_pop(key, self._popped)
                pop.given_up = self._look_again
            if pop.is_free(now, spare):
                look = Command(key, ("BLMOVE", key, key, "RIGHT", "RIGHT", f"{self._rhythm.pop:.3f}"))
                pop.wait([look], self._rhythm.pop, now, spare)

    def close(self) -> None:
        """Give up its connections."""
        for pop in self._pops.values():
            self._event_loop.remove(pop)
        self._pops.clear()
        self._may_have = True

    def wake_at(self) -> float:
        """Return when to fetch or to listen (monotonic s), if that is wanted."""
        if self._is_asking:
            return float("inf")
        if self._may_have:
            return self._not_before
        return min((self._pops[key].wake_at() for key in self._keys() if key in self._pops), default=0.0)

    def _keys(self) -> tuple[str, ...]:
        keys = self._fetcher.queue.keys
        return (keys.pending(URGENT), keys.ring(URGENT)) if self._next_is_taken else (keys.next,)

    def _take(self, want: int, take: Taker, fetched: Fetched) -> None:
        self._is_asking = False
        self._next_is_taken = fetched.more
        self._may_have = len(fetched.jobs) >= want
        if fetched.jobs or not self._was_woken:
            self._pauses, self._not_before = pauses(cap=self._rhythm.poll_interval), 0.0
        else:
            # Another worker was faster, or it may not be started: don't ask again and again.
            self._not_before = time.monotonic() + next(self._pauses)
        self._was_woken = False
        take(fetched)

    def _popped(self, pop: BlockingPop, now: float) -> None:
        replies = pop.readable(now)
        if replies is not None:
            self._was_woken = replies[0] is not None
            self._look_again()

    def _look_again(self) -> None:
        self._may_have = True
