"""How jobs come in from one queue: a bell that rings when there is something, and fetches."""

from collections.abc import Callable

from gopher.crashpoints import reached
from gopher.link import Bell, Link
from gopher.queue import Fetched, Queue
from gopher.wires import Wires

from .turns import Turns

#: Seconds that BRPOPLPUSH waits on the server. The worker looks by itself more often than that.
BLOCK = 10


class Intake:
    """One served queue."""

    def __init__(
        self, queue: Queue, wires: Wires, turns: Turns, poll_interval: float, *, with_prelude: bool = False
    ) -> None:
        self.queue = queue
        self.link: Link = wires.link_to(queue.keys.prefix)
        self.bell: Bell = wires.bell(queue.keys.prefix, self._rung_bell)
        self._turns = turns
        self._poll_interval = poll_interval
        #: Whether jobs come with what came before their attempts.
        self._with_prelude = with_prelude
        self._number = 1
        #: Jobs that a fetch under way may bring.
        self.asked_for = 0
        #: Whether more was waiting when the last fetch was answered.
        self.more = True
        self._rang = False
        self._poll_at = 0.0

    @property
    def must_fetch(self) -> bool:
        """Whether a job stands in our list already, whether or not a child is free for it."""
        return self._rang and not self.asked_for

    def wants_fetch(self, now: float) -> bool:
        """Return whether a fetch is likely to bring something, or it is time to look anyhow."""
        return not self.asked_for and (self.more or self._rang or now >= self._poll_at)

    def fetch(self, worker_id: str, want: int, now: float, take: Callable[[Fetched], None]) -> None:
        """Ask for up to `want` jobs; `take` is given what comes."""
        self.asked_for = want
        self._rang = False
        self._poll_at = now + self._poll_interval

        def answered(reply: Fetched | Exception) -> None:
            self.asked_for = 0
            if isinstance(reply, Exception):
                # Nothing was given out. The next look comes with the poll.
                self.more = False
                return
            self.more = reply.more
            for job in reply.jobs:
                self._turns.take(job.priority)
                self._number = max(self._number, int(job.token.rpartition(".")[2]) + 1)
            take(reply)

        call = self.queue.fetch(
            worker_id,
            want,
            self._number,
            self._turns.order,
            strict=self._turns.strict,
            with_prelude=self._with_prelude,
        )
        self.link.add(call, answered)

    def listen(self, worker_id: str, now: float, spare: float) -> None:
        """Wait on the server for the next job: BRPOPLPUSH next -> processing:<worker>."""
        keys = self.queue.keys
        self.bell.wait(("BRPOPLPUSH", keys.next, keys.processing(worker_id), BLOCK), BLOCK, now, spare)

    def wake_at(self) -> float:
        """Return when to look again or to reach for the bell (monotonic s); never while a fetch is under way."""
        if self.asked_for:
            return float("inf")
        return min(self._poll_at, self.bell.wire.wake_at())

    def _rung_bell(self, bell: Bell, now: float) -> None:
        # A job that it brought is in our list; so may be one whose reply was lost.
        if bell.readable(now) is not None or not bell.wire.connected:
            self._rang = True
            reached("bell.rung")
