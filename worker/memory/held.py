"""Jobs that are held because they don't fit into the memory: since when, and whether others should have them."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from gopher.worker.crew import Crew
from gopher.worker.queue_side.clock import ServerClock
from gopher.worker.queue_side.served_queue import ServedQueue
from gopher.worker.running import Running

from gopher.base.salvage import order
from gopher.server.calls import Command

#: Seconds after which a job's record says that it waits for memory, and after which others may have the job; that is
#: doubled each time that it comes back.
_TOLD_AFTER, _OURS_FOR = 1.0, 2.0
#: Seconds between two looks at how long jobs are held, and for which none is fetched after some were requeued.
_PAUSE, _YIELD = 0.5, 0.3
#: How many jobs are held while children are idle, for which smaller ones may be behind them; and bytes of all of them.
_MOST, _MOST_BYTES = 128, 16 * 2**20
#: How many requeued jobs are remembered, with how long they have waited here.
_KEPT = 1000
_LONGEST_DOUBLED = 5


class _Stay(NamedTuple):
    """What is remembered of a job that waits, also once it was requeued."""

    since: float
    times: int = 0
    #: When it must not start any more (monotonic s).
    expires: float = float("inf")


class Held:
    """The held jobs of a worker (`Crew.held`)."""

    def __init__(self, crew: Crew, queues: Mapping[str, ServedQueue], clock: ServerClock) -> None:
        self._crew = crew
        self._queues = queues
        self._clock = clock
        self._stays: OrderedDict[tuple[str, int], _Stay] = OrderedDict()
        self._check_at = 0.0
        #: When jobs may be fetched again after some were requeued for other workers (monotonic s).
        self.yields_until = 0.0

    @property
    def is_full(self) -> bool:
        """Whether no more jobs are fetched, because many are held."""
        held, least = self._crew.held, max(16, 4 * len(self._crew.pool.children))
        if len(held) < least or not self._crew.prefetch.room():
            return len(held) >= least
        return len(held) >= max(_MOST, least) or sum(len(each.job.envelope) for each in held) >= _MOST_BYTES

    def passed_by(self, running: Running, need: int, now: float) -> None:
        """Note that a job does not fit."""
        running.needs = need
        if running.held_at is None:
            running.held_at = now
            self._stays.setdefault(_attempt(running), _Stay(now))

    def waited(self, running: Running, now: float) -> float:
        """Return for how long (s) a job has been passed by, also before it was requeued."""
        stay = self._stays.get(_attempt(running))
        since = running.held_at if stay is None else stay.since
        return 0.0 if since is None else now - since

    def starts(self, running: Running, now: float) -> None:
        """Note that a job starts, which may have been held."""
        if running.is_told:
            self._tell(running, now)
        if self._stays:
            self._stays.pop(_attempt(running), None)
        running.held_at, running.is_told = None, False

    def check(self, now: float) -> None:
        """Say in their records for what jobs wait; see which of those that wait for long are to be requeued.

        That is: if other workers may have room for them, or if they must not start, since their queue or type was
        paused meanwhile or they have expired: the next fetch decides that.
        """
        if not self._crew.held or now < self._check_at:
            return
        self._check_at = now + _PAUSE
        while len(self._stays) > _KEPT + len(self._crew.held):
            self._stays.popitem(last=False)
        for running in self._crew.held:
            if not running.is_told and now - (running.held_at or now) > _TOLD_AFTER:
                self._tell(running, None)
                self._ask_expiry(running)
        told = [running for running in self._crew.held if running.is_told]
        self._give_back([running for running in told if self._stay(running).expires <= now])
        for name in {running.queue for running in told}:
            keys, pipeline = self._queues[name].queue.keys, self._queues[name].fetcher.pipeline
            if any(running.queue == name and self._may_go(running, now) for running in told):
                pipeline.add(Command(keys.workers, ("ZCARD", keys.workers)), partial(self._take_workers, name, now))
            pipeline.add(Command(keys.paused, ("EXISTS", keys.paused)), partial(self._take_paused, name, ""))
            for job_type in {running.job.type for running in told if running.queue == name}:
                key = keys.limit(job_type)
                pipeline.add(Command(key, ("HEXISTS", key, "paused")), partial(self._take_paused, name, job_type))

    def _ask_expiry(self, running: Running) -> None:
        """Ask when a job expires: its fetch would have been too late then, and so is its start."""
        served = self._queues[running.queue]
        key = served.queue.keys.job(running.job.id)
        served.fetcher.pipeline.add(Command(key, ("HGET", key, "expires")), partial(self._take_expiry, running))

    def _take_expiry(self, running: Running, expires: Any) -> None:
        if expires and not isinstance(expires, Exception) and running.held_at is not None:
            # One that can't be read is left to the fetch.
            at = self._clock.when(order(expires))
            self._stays[_attempt(running)] = self._stay(running)._replace(expires=at)

    def _take_workers(self, queue: str, now: float, count: Any) -> None:
        if not isinstance(count, Exception) and int(count) > 1:
            going = [each for each in self._crew.held if each.queue == queue and self._may_go(each, now)]
            if going:
                self.yields_until = now + _YIELD
            self._give_back(going)

    def _take_paused(self, queue: str, job_type: str, is_paused: Any) -> None:
        """Requeue the jobs of a queue, or those of a type, that was paused: that ends their wait here."""
        if not isinstance(is_paused, Exception) and int(is_paused):
            of_queue = [each for each in self._crew.held if each.queue == queue]
            self._give_back([each for each in of_queue if job_type in ("", each.job.type)])

    def _give_back(self, going: Iterable[Running]) -> None:
        for running in going:
            self._crew.held.remove(running)
            stay = self._stay(running)
            self._stays[_attempt(running)] = stay._replace(times=stay.times + 1)
            self._queues[running.queue].settler.requeue(running)

    def _may_go(self, running: Running, now: float) -> bool:
        doubled = min(self._stay(running).times, _LONGEST_DOUBLED)
        return running.held_at is not None and now - running.held_at > _OURS_FOR * 2**doubled

    def _stay(self, running: Running) -> _Stay:
        return self._stays.get(_attempt(running)) or _Stay(running.held_at or 0.0)

    def _tell(self, running: Running, ended: float | None) -> None:
        """Have a job's record say that it waits for memory, and since when; at the end, until when."""
        running.is_told = True
        text = f"{running.needs} {self._clock.at(self._stay(running).since)}"
        if ended is not None:
            text += f" {self._clock.at(ended)}"
        served = self._queues[running.queue]
        served.fetcher.pipeline.add(served.queue.hold(running.job.id, running.job.token, text))


def _attempt(running: Running) -> tuple[str, int]:
    """Return what a job is known by until it starts: later attempts have not waited."""
    return running.job.id, running.job.attempt
