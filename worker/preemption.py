"""Preemption: while all children are busy, a job of the highest priority runs in the place of one that is frozen.

Only jobs of types that are declared as preemptible are frozen, and only jobs of lower priority. As many jobs run as
there are children, so a frozen job continues when a running one ends and no urgent job is waiting. Its time does not
pass meanwhile. A spare child is ready, so that an urgent job need not wait for a fork.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from gopher.config import machine
from gopher.config.settings import Settings
from gopher.jobs.registry import Registry
from gopher.queue.replies import Fetched
from gopher.server.event_loop import EventLoop
from gopher.telemetry.logs import get_logger

from .attempt import runs_alone
from .children.guard import Guard
from .children.handle import STRAGGLER, ChildHandle
from .crew import Crew
from .job_logs import job_fields
from .lease import Lease
from .memory.admission import Admission
from .prefetch import may_send
from .queue_side.rhythm import Rhythm
from .queue_side.served_queue import ServedQueue
from .queue_side.urgent_watch import URGENT, UrgentWatch
from .running import Running

log = get_logger("worker")

#: Bytes that must be available for an urgent job, and the seconds between looks at what is.
LEAST_MEMORY, MEMORY_LOOK = 64 * 2**20, 0.1
#: Seconds for which spare children that were needed are kept, and for which nothing is frozen after an urgent job has
#: not fitted into the memory.
SPARES_KEPT, REST = 10.0, 1.0


def preempts(settings: Settings, registry: Registry) -> bool:
    """Return whether a worker freezes jobs: a type must be declared as preemptible."""
    return settings.worker_max_frozen != 0 and any(handler.preemptible for handler in registry)


class Preemption:
    """Freezes jobs and lets them continue."""

    def __init__(
        self,
        settings: Settings,
        queues: Mapping[str, ServedQueue],
        crew: Crew,
        lease: Lease,
        event_loop: EventLoop,
        guard: Guard,
    ) -> None:
        self._most = settings.worker_max_frozen
        self._longest = settings.worker_max_frozen_time
        self._queues = queues
        self._crew = crew
        self._lease = lease
        self._event_loop = event_loop
        self._guard = crew.pool.guard = guard
        crew.pool.thawed = self._thawed
        #: None if jobs are not admitted by memory.
        self.admission: Admission | None = None
        #: Receives what was fetched with a worker's id, and returns the jobs.
        self.taken: Callable[[ServedQueue, str, Fetched], list[Running]] = lambda served, worker_id, fetched: []
        self._rhythm = Rhythm.of_settings(settings)
        self._watches: dict[str, UrgentWatch] = {}
        #: How many urgent jobs could be started.
        self._room = 0
        #: Until when spare children beyond the first are kept (monotonic s).
        self._spares_until = 0.0
        self._rests_until = 0.0
        #: The most memory that an urgent job has had here, and what was available when that was looked at.
        self._needed = LEAST_MEMORY
        self._available, self._look_at = 0, 0.0

    @property
    def most(self) -> int:
        """The maximum number of frozen jobs, apart from memory."""
        return self._crew.pool.wanted if self._most < 0 else self._most

    def begin(self, now: float) -> None:
        """Start the guard, before there are connections."""
        self._guard.maintain(now)
        self._crew.pool.spares = self._crew.pool.most_spares = 1

    def note_memory(self, running: Running, need: int) -> None:
        """Learn from the bytes by which a child has grown at most during a finished attempt."""
        if is_urgent(running):
            self._needed = max(self._needed, need)

    # What is frozen

    def check(self, now: float) -> None:
        """Let jobs continue whose places are free; keep spare children ready."""
        pool, crew = self._crew.pool, self._crew
        self._guard.maintain(now)
        frozen = self._frozen()
        if frozen:
            self._spares_until = now + SPARES_KEPT
            if any(map(is_urgent, crew.held)):
                # It does not fit beside what is frozen: don't freeze for it again and again.
                self._rests_until = now + REST
            self._let_go_on(frozen, now)
            crew.preempting = any(child.frozen for child in pool.children.values())
        elif crew.preempting:
            crew.preempting = False
        can_freeze = not crew.quiet and len(frozen) < self.most
        pool.spares = 1 if can_freeze else 0
        pool.most_spares = self.most if now < self._spares_until and not crew.quiet else pool.spares
        if crew.quiet or not crew.busy():
            self._close_watches()

    def _let_go_on(self, frozen: list[ChildHandle], now: float) -> None:
        for child in frozen:
            if self._crew.quiet or not child.jobs:
                # Its outcome was under way when it was frozen, or the worker stops: all get the time that is left.
                self._crew.pool.thaw(child, now)
        idle = [child for child in self._active() if child.ready and not child.jobs]
        # Those that have been frozen for too long first: they don't wait for other urgent jobs.
        for child in sorted(self._frozen(), key=lambda child: -self._frozen_for(child, now)):
            is_overdue = self._frozen_for(child, now) >= self._longest
            if not idle or (not is_overdue and self._has_urgent_jobs(now)):
                return
            self._crew.pool.set_aside(idle.pop())
            self._crew.pool.thaw(child, now)

    def _has_urgent_jobs(self, now: float) -> bool:
        """Return whether urgent jobs are waiting, or that is being asked."""
        if any(map(is_urgent, self._crew.backlog)):
            return True
        served = (self._queues[name] for name, watch in self._watches.items() if watch.is_looking(now))
        return any(each.may_take for each in served)

    def _freeze(self, child: ChildHandle, spare: ChildHandle, now: float) -> bool:
        """Freeze a child, and let a spare one take its place; return False if its further jobs can't be taken back."""
        for running in self._crew.pool.retract(child, now):
            self._requeue(running)
        if len(child.jobs) != 1:
            return False
        self._crew.pool.freeze(child, now)
        spare.spare = False
        self._crew.preempting = True
        log.debug("job frozen: an urgent one runs in its place", pid=child.pid, **job_fields(child.jobs[0]))
        self._note(child)
        return True

    def _thawed(self, child: ChildHandle) -> None:
        if child.jobs:
            log.debug(
                "job continues", pid=child.pid, frozen=round(child.jobs[0].frozen, 3), **job_fields(child.jobs[0])
            )
            self._note(child)

    def _note(self, child: ChildHandle) -> None:
        """Make known that a job is frozen, or continues."""
        head = child.jobs[0]
        queue = self._queues[head.queue].queue
        call = queue.note_frozen(head.job.id, head.job.token, head.frozen, is_frozen=child.frozen is not None)
        self._event_loop.pipeline_to(call.key).add(call)

    # Urgent jobs

    def make_room(self, now: float) -> None:
        """Freeze jobs for the urgent ones in the backlog; requeue the others while any job is frozen."""
        crew = self._crew
        urgent = [running for running in crew.backlog if is_urgent(running)]
        missing = len(urgent) - crew.prefetch.room()
        for child, spare in zip(self._victims(now) if missing > 0 else (), self._spares(), strict=False):
            if missing <= 0:
                break
            if not self._may_freeze(now, self._need(urgent)):
                self._rests_until = now + REST
                break
            missing -= self._freeze(child, spare, now)
        if crew.preempting and len(urgent) < len(crew.backlog):
            others = [running for running in crew.backlog if not is_urgent(running)]
            crew.backlog = deque(urgent)
            for running in others:
                self._requeue(running)

    def take_in(self, now: float, spare: float) -> None:
        """Fetch urgent jobs that can run in the places of others; connecting may take `spare` seconds."""
        self._room = room = 0 if self._crew.quiet else self._find_room(now)
        for served in self._queues.values() if room > 0 else ():
            if not served.may_take:
                continue
            watch = self._watches.get(served.name)
            if watch is None:
                watch = self._watches[served.name] = UrgentWatch(served.fetcher, self._event_loop, self._rhythm)
            if not watch.wants_fetch(now):
                watch.listen(now, spare)
            elif room > 0 and may_send(served.fetcher.pipeline, room):
                worker_id = self._lease.worker_id
                watch.fetch(worker_id, room, now, partial(self._take, served, worker_id))
                room -= served.fetcher.asked_for

    def _take(self, served: ServedQueue, worker_id: str, fetched: Fetched) -> None:
        # Before what is held for children that will soon be free.
        self._crew.backlog.extendleft(reversed(self.taken(served, worker_id, fetched)))

    def _find_room(self, now: float) -> int:
        """Return how many urgent jobs could be started now, and not as a matter of course."""
        crew = self._crew
        free = crew.prefetch.room() - len(crew.backlog)
        free -= sum(served.fetcher.asked_for for served in self._queues.values())
        if free > 0 and not crew.preempting:
            return 0
        victims = self._victims(now)
        if not (victims and self._may_freeze(now)):
            return free
        return free + min(len(victims), len(self._spares()), self.most - len(self._frozen()))

    def wake_at(self, now: float) -> float:
        """Return when to look for urgent jobs (monotonic s)."""
        wake_at = float("inf")
        for child in self._active():
            if child.jobs and self._is_preemptible(child.jobs[0]) and not child.holds_up(now):
                wake_at = min(wake_at, child.jobs[0].started + STRAGGLER)
        if self._room <= 0:
            return wake_at
        for name, watch in self._watches.items():
            if not self._queues[name].fetcher.pipeline.busy:
                wake_at = min(wake_at, watch.wake_at())
        return wake_at

    # Who may be frozen

    def _victims(self, now: float) -> list[ChildHandle]:
        """Return the children whose jobs may be frozen, the first one first."""
        found = [child for child in self._active() if child.holds_up(now) and self._may_be_frozen(child)]
        return sorted(found, key=lambda child: (child.jobs[0].frozen, -child.jobs[0].started))

    def _may_be_frozen(self, child: ChildHandle) -> bool:
        head = child.jobs[0]
        is_ending = head.interrupted or head.stack_asked or child.killed or runs_alone(head.job)
        # One that is asked for its stack answers first; what an earlier job was asked for does not count.
        is_asked = child.stacks.asked_at >= head.started
        return self._is_preemptible(head) and not is_ending and not is_asked and head.frozen < self._longest

    def _is_preemptible(self, running: Running) -> bool:
        return running.handler is not None and running.handler.preemptible and not is_urgent(running)

    def _may_freeze(self, now: float, need: int = 0) -> bool:
        """Return whether one more job may be frozen for one that needs `need` bytes: its own memory stays taken."""
        if not self._guard.is_running or now < self._rests_until or len(self._frozen()) >= self.most:
            return False
        if now >= self._look_at:
            self._available, self._look_at = machine.available_memory(), now + MEMORY_LOOK
        free = self._available if self.admission is None else min(self._available, self.admission.free)
        return free >= max(self._needed, need)

    def _need(self, urgent: Sequence[Running]) -> int:
        """Return the bytes that the largest of some jobs needs, 0 if that is not known."""
        return max(map(self.admission.need_to_start, urgent), default=0) if self.admission is not None else 0

    def _active(self) -> list[ChildHandle]:
        return [child for child in self._children() if not (child.leaving or child.killed or child.is_set_aside)]

    def _spares(self) -> list[ChildHandle]:
        return [child for child in self._children() if child.spare and child.ready and not child.leaving]

    def _frozen(self) -> list[ChildHandle]:
        return [child for child in self._children() if child.frozen is not None and not child.killed]

    def _children(self) -> Iterable[ChildHandle]:
        return self._crew.pool.children.values()

    def _frozen_for(self, child: ChildHandle, now: float) -> float:
        before = child.jobs[0].frozen if child.jobs else 0.0
        return before + (now - child.frozen.since if child.frozen else 0.0)

    def _requeue(self, running: Running) -> None:
        self._queues[running.queue].settler.requeue(running)

    def _close_watches(self) -> None:
        for watch in self._watches.values():
            watch.close()

    def reaped(self, pid: int) -> None:
        """Note that a process has ended that is no child."""
        self._guard.reaped(pid)

    def descriptors(self) -> list[int]:
        """Return what no child may inherit."""
        return self._guard.descriptors()

    def stop(self) -> None:
        """Let the guard end."""
        self._guard.stop()


def is_urgent(running: Running) -> bool:
    return running.job.priority == URGENT
