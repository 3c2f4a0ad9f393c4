"""The children of a worker and their jobs: state shared by its other parts."""

import time
from collections import deque
from collections.abc import Collection, Container, Iterator

from gopher.telemetry.logs import get_logger

from .children import interrupt
from .children.pool import Pool
from .job_logs import job_fields
from .prefetch import Prefetch
from .running import Running

log = get_logger("worker")


class Crew:
    """The pool of children, and the backlog of jobs that are not assigned yet."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.prefetch = Prefetch(pool.children)
        self.backlog: deque[Running] = deque()
        #: Jobs that wait until there is memory for them.
        self.held: deque[Running] = deque()
        #: Whether it fetches no more jobs.
        self.quiet = False
        #: Whether a job is frozen: then only urgent jobs are started.
        self.preempting = False

    def busy(self) -> bool:
        """Return whether a child has a job."""
        return any(child.jobs for child in self.pool.children.values())

    def is_growing(self) -> bool:
        """Return whether a child will soon be ready for its first job."""
        return not self.quiet and any(not (child.ready or child.spare) for child in self.pool.children.values())

    def has_room(self) -> bool:
        """Return whether a child is, or soon will be, free for another job."""
        return not self.preempting and (self.is_growing() or self.prefetch.room() > len(self.backlog))

    def spare_for(self, queue: str) -> int:
        """Return how many more jobs of a queue may be taken that must leave a child for those of others, if it can."""
        return max(self.pool.wanted - 1, 1) - sum([running.queue == queue for running in self.in_hand()])

    def surplus(self, now: float) -> int:
        """Return how many jobs of the backlog exceed the children's capacity: other workers may have a free child."""
        if self.is_growing():
            return 0
        return len(self.backlog) - (0 if self.quiet else self.prefetch.room() + self.prefetch.held(now))

    def in_hand(self) -> Iterator[Running]:
        """Yield the unfinished jobs."""
        yield from self.backlog
        yield from self.held
        for child in self.pool.children.values():
            yield from child.jobs

    def take_out(self, jobs: Collection[Running]) -> None:
        """Remove jobs from the backlog."""
        if jobs:
            taken = set(jobs)
            self.backlog = deque(running for running in self.backlog if running not in taken)

    def offer_held(self) -> None:
        """Put the jobs that wait for memory before the others: they came earlier."""
        if self.held:
            self.backlog.extendleft(reversed(self.held))
            self.held.clear()

    def take_held(self, job_ids: Container[str]) -> list[Running]:
        """Take those of the given jobs that wait for memory."""
        taken = [running for running in self.held if running.job.id in job_ids]
        for running in taken:
            self.held.remove(running)
        return taken

    def take_from_stragglers(self, now: float) -> None:
        """Take back jobs queued behind a long one in a child's channel, or in an exiting child, for other children.

        And those of a child that was given too many, since the jobs before them were far shorter.
        """
        most = self.prefetch.most_queued
        for child in self.pool.children.values():
            if child.jobs and (child.leaving or child.holds_up(now)):
                child.straggles = True
                self.backlog.extend(self.pool.retract(child, now))
            elif len(child.jobs) > most:
                self.backlog.extend(self.pool.retract(child, now))

    def take_back_all(self) -> None:
        """Take back the jobs that no child has started."""
        self.offer_held()
        for child in self.pool.children.values():
            self.backlog.extend(self.pool.retract(child, time.monotonic()))

    def cancel(self, job_ids: Container[str], now: float) -> None:
        """Interrupt those of the given jobs that are running."""
        for child in self.pool.children.values():
            if child.jobs and child.jobs[0].job.id in job_ids and not child.killed:
                self.pool.interrupt(child, interrupt.CANCEL, now)

    def stop_exclusive(self, queues: Container[str]) -> None:
        """Stop exclusive jobs of these queues."""
        for child in self.pool.children.values():
            head = child.head
            if head is None or head.queue not in queues or child.killed:
                continue
            if head.handler is not None and head.handler.exclusive:
                log.warning("job stopped: the lease may be lost", **job_fields(head))
                self.pool.kill(child, "shutdown")

    def stop_all(self) -> None:
        """Kill the children that still have a job; their jobs are requeued."""
        for child in self.pool.children.values():
            if child.jobs and not child.killed:
                self.pool.kill(child, "shutdown")

    def drop_all(self) -> None:
        """Drop all jobs: other workers have them."""
        self.backlog.clear()
        self.held.clear()
        for child in self.pool.children.values():
            if child.jobs:
                self.pool.kill(child, "lost")

    def leave(self) -> None:
        """Let all children go; kill those that still have a job, or do not leave in time."""
        for child in self.pool.children.values():
            if child.jobs:
                self.pool.kill(child, "leaving")
        self.pool.let_all_go(time.monotonic())
        for child in self.pool.children.values():
            self.pool.kill(child, "leaving")
