"""Moves jobs from the queues to the backlog, and from there to the children."""

import time
from collections.abc import Mapping
from functools import partial

from gopher.base.latencies import file_class
from gopher.config.settings import Settings
from gopher.jobs.job import created_ms, read_envelope
from gopher.jobs.options import resolve
from gopher.jobs.registry import Registry
from gopher.queue.replies import Fetched, FetchedJob

from .crew import Crew
from .lease import Lease
from .memory.admission import Admission
from .outcomes import Outcomes
from .preemption import Preemption
from .prefetch import may_send, most_of, to_ask_for
from .queue_side.clock import ServerClock
from .queue_side.served_queue import ServedQueue
from .running import Running

#: When jobs without `retry_for` are given up.
_NEVER = float("inf")


class Dispatcher:
    """Fetches jobs and assigns them. `prefetch` determines how many."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        queues: Mapping[str, ServedQueue],
        crew: Crew,
        lease: Lease,
        outcomes: Outcomes,
        clock: ServerClock,
        preemption: Preemption | None = None,
        admission: Admission | None = None,
    ) -> None:
        #: None if jobs are not admitted by memory.
        self._admission = admission
        self._settings = settings
        self._registry = registry
        self._queues = queues
        self._crew = crew
        self._lease = lease
        self._outcomes = outcomes
        self._clock = clock
        self._preemption = preemption
        if preemption is not None:
            preemption.taken = self._taken
        #: Number of jobs that the children can take in addition to those in the backlog or requested.
        self._room = 0
        #: When a held job is requeued because its child has been busy for too long (monotonic s).
        self._held_until = float("inf")

    # To the children

    def hand_out(self, now: float) -> None:
        """Assign the backlog to the children; requeue jobs beyond their capacity."""
        crew = self._crew
        are_held = bool(crew.held)
        crew.offer_held()
        if not crew.backlog:
            return
        if not crew.quiet:
            # After an unnoticed expiry of the lease, other workers may have them.
            held_back = self._of_queues(self._lease.unheard(now, self._lease.seconds))
            crew.take_out(held_back)
            self._settle_unknown(now)
            if self._preemption is not None:
                self._preemption.make_room(now)
            if self._admission is None or (not are_held and self._admission.lets_all(crew.backlog, now)):
                crew.pool.hand_out(crew.backlog, crew.prefetch.depth, now)
            else:
                self._admission.hand_out(crew.backlog, crew.prefetch.depth, now)
            crew.backlog.extend(running for running in held_back if running.held_at is None)
            crew.held.extend(running for running in held_back if running.held_at is not None)
        self._held_until = crew.prefetch.held_until(now)
        for _ in range(crew.surplus(now)):
            self._give_back(crew.backlog.pop())

    def _of_queues(self, queues: set[str]) -> list[Running]:
        return [running for running in self._crew.backlog if running.queue in queues] if queues else []

    def _settle_unknown(self, now: float) -> None:
        """Settle jobs of types without handler here."""
        unknown = [running for running in self._crew.backlog if running.handler is None]
        self._crew.take_out(unknown)
        for running in unknown:
            self._outcomes.no_handler(running, now)

    def _give_back(self, running: Running) -> None:
        served = self._queues[running.queue]
        served.settler.requeue(running)
        # Before anything of a queue of lower preference.
        served.fetcher.more = True

    # From the queues

    def take_in(self, now: float, spare: float) -> None:
        """Fetch jobs up to the children's capacity; connecting may take `spare` seconds."""
        if self._preemption is not None:
            self._preemption.take_in(now, spare)
        room, held = self._wanted(now)
        for served in self._queues.values():
            if not served.may_take:
                continue
            fetcher = served.fetcher
            wanted = to_ask_for(room, held)
            if fetcher.must_fetch(now) or (wanted and fetcher.wants_fetch(now)):
                if may_send(fetcher.pipeline, wanted):
                    self._fetch(served, wanted, now)
                    room -= fetcher.asked_for
            elif room > 0 and not fetcher.asked_for:
                worker_id = self._lease.worker_id
                fetcher.listen(worker_id, now, spare, partial(self._take_popped, served, worker_id))
            if fetcher.asked_for and fetcher.more and fetcher.pipeline.connection.answers:
                # There may be more than was requested: queues of lower preference wait until that is known, except
                # for an unavailable node.
                room = held = 0
        self._room = room

    def _wanted(self, now: float) -> tuple[int, int]:
        """Return the children's free capacity, and how many more jobs to prefetch."""
        crew = self._crew
        if crew.quiet or crew.preempting or (self._admission is not None and not self._admission.may_fetch(now)):
            return 0, 0
        # An unavailable cluster node must not block others: jobs requested from it may never arrive.
        fetchers = [served.fetcher for served in self._queues.values()]
        coming = sum(fetcher.asked_for for fetcher in fetchers if fetcher.pipeline.connection.answers)
        return crew.prefetch.room() - len(crew.backlog) - coming, crew.prefetch.held(now)

    def _fetch(self, served: ServedQueue, wanted: int, now: float) -> None:
        count = min(max(wanted, 1), most_of(served.fetcher.pipeline))
        worker_id = self._lease.worker_id
        served.fetcher.fetch(worker_id, count, now, partial(self._take_fetched, served, worker_id))

    def _take_fetched(self, served: ServedQueue, worker_id: str, fetched: Fetched) -> None:
        self._crew.backlog.extend(self._taken(served, worker_id, fetched))

    def _take_popped(self, served: ServedQueue, worker_id: str, fetched: Fetched) -> None:
        """Process the result of a blocking pop.

        Other workers may be waiting with a blocking pop, too: hold no jobs of that queue.
        """
        for running in self._taken(served, worker_id, fetched):
            if self._crew.has_room():
                self._crew.backlog.append(running)
            else:
                self._give_back(running)

    def _taken(self, served: ServedQueue, worker_id: str, fetched: Fetched) -> list[Running]:
        """Return the jobs that were fetched with an id; none if its lease is lost."""
        if worker_id != self._lease.worker_id:
            # It was lost meanwhile: these jobs are rescued like the others.
            return []
        if fetched.lost:
            self._lease.lose()
            return []
        self._clock.set(fetched.now)
        queue = served.name
        return [self._running(job, queue) for job in fetched.jobs]

    def _running(self, job: FetchedJob, queue: str) -> Running:
        handler = self._registry.get(job.type)
        envelope = read_envelope(job.envelope)
        options = resolve(envelope, handler, self._settings)
        retries, timeout, worker_id = options.max_retries, options.timeout, self._lease.worker_id
        give_up_at = _NEVER if envelope.retry_for is None else self._give_up_at(job, envelope.retry_for)
        running = Running(job, queue, handler, retries, timeout, worker_id, give_up_at)
        if envelope.files:
            running.file_class = file_class(sum(file.size for file in envelope.files.values()))
        return running

    def _give_up_at(self, job: FetchedJob, retry_for: float) -> float:
        """Return when no other attempt of a job is started any more (monotonic s)."""
        # Earlier versions did not note it, and a schedule's jobs have the server's time in their ids.
        return self._clock.when(job.give_up or created_ms(job.id) + round(retry_for * 1000))

    def wake_at(self) -> float:
        """Return when to assign, fetch or send again (monotonic s)."""
        wake_at = self._held_until if self._crew.backlog else float("inf")
        if self._preemption is not None:
            wake_at = min(wake_at, self._preemption.wake_at(time.monotonic()))
        for served in self._queues.values():
            if served.fetcher.pipeline.busy:
                # It sends nothing before that reply.
                continue
            wake_at = min(wake_at, served.settler.delivery.wake_at())
            if self._room > 0 and served.may_take:
                wake_at = min(wake_at, served.fetcher.wake_at())
        return wake_at
