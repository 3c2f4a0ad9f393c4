"""The children of a worker: forks, assigns jobs, enforces timeouts, kills and reaps. Independent of the queue."""

import os
import random
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heapreplace

from gopher.worker.running import Running

from gopher.base.pauses import doubled
from gopher.config import machine
from gopher.config.settings import Settings
from gopher.jobs.registry import Registry
from gopher.telemetry.logs import get_logger

from . import interrupt, system
from .freezing import Frozen
from .guard import Guard
from .handle import ChildHandle
from .start import start_child

log = get_logger("worker")

#: Timeout for a child to exit, in seconds.
EXIT_GRACE = 2.0
#: Seconds that a child has at most to write its stack before it is killed because of a timeout, and between two looks
#: whether it has: as a rule within milliseconds, but it may have to wait for a processor.
LAST_LOOK, LOOK_AGAIN = 1.0, 0.025


class Pool:
    """Maintains the number of children, and assigns jobs to them."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        inherited: Callable[[], Iterable[int]],
        spans: socket.socket | None = None,
    ) -> None:
        self._settings = settings
        #: The socket for the children's spans, if tracing is on.
        self._spans = spans
        self._registry = registry
        self._inherited = inherited
        self.wanted = settings.worker_concurrency
        #: Bytes that a child may have resident while a job runs.
        self._most_memory = settings.worker_max_memory_per_child
        if settings.worker_memory is None:
            self._most_memory = machine.child_memory(self._most_memory, settings.worker_concurrency)
        #: Whether children are looked at while they run a job.
        self._looks = bool(self._most_memory) or settings.worker_memory is not None
        self.children: dict[int, ChildHandle] = {}
        #: The least and the most number of spare children, which are ready to take the place of others.
        self.spares, self.most_spares = 0, 0
        #: Required to freeze children; called with one that continues.
        self.guard: Guard | None = None
        self.thawed: Callable[[ChildHandle], None] = lambda child: None
        self._spawn_at = 0.0
        self._early_deaths = 0
        #: Called with each forked child, and with descriptors before they are closed.
        self.opened: Callable[[ChildHandle], None] = lambda child: None
        self.closed: Callable[[ChildHandle], None] = lambda child: None
        #: Called with other processes that were reaped.
        self.reaped: Callable[[int], None] = lambda pid: None

    # Children

    def maintain(self, now: float) -> None:
        """Fork missing children; stop surplus ones."""
        staying = [child for child in self.children.values() if not (child.leaving or child.is_set_aside)]
        for child in staying[self.wanted :]:
            self.dismiss(child, now)
        missing = self.wanted - len(staying)
        if missing > 0 or self.most_spares or self.spares:
            missing = self._use_spares(missing, now)
        for _ in range(missing):
            if now < self._spawn_at:
                return
            self._spawn(now)

    def _use_spares(self, missing: int, now: float) -> int:
        """Let spare children take the places of missing ones; return how many are still missing. Fork spares."""
        spares = [child for child in self.children.values() if child.spare and not child.leaving]
        while missing > 0 and spares:
            spares.pop(0).spare = False
            missing -= 1
        for child in spares[self.most_spares :]:
            self.dismiss(child, now)
        # Not before the others: a worker that starts is to have those first.
        if missing <= 0 and len(spares) < self.spares and now >= self._spawn_at:
            self._spawn(now, spare=True)
        return missing

    def set_aside(self, child: ChildHandle) -> None:
        """Let an idle child be a spare one."""
        child.spare = True

    def freeze(self, child: ChildHandle, now: float) -> None:
        """Stop a child, with what it has started."""
        assert self.guard is not None
        self.guard.freezing(child.pid)
        child.frozen = Frozen(child.pid, now)
        child.frozen.stop()
        if child.frozen.outside:
            self.guard.freezing(child.pid, child.frozen.outside)

    def thaw(self, child: ChildHandle, now: float) -> None:
        """Let a frozen child continue."""
        frozen = child.frozen
        if frozen is None:
            return
        child.count_frozen(now)
        if child.jobs:
            child.stop.set_frozen(child.jobs[0].number, child.jobs[0].frozen)
        child.frozen = None
        frozen.resume()
        self._unguard(child)
        self.thawed(child)

    def _unguard(self, child: ChildHandle) -> None:
        if self.guard is not None:
            self.guard.continuing(child.pid)

    def dismiss(self, child: ChildHandle, now: float) -> None:
        """Stop a child once it has no job."""
        child.leaving = True
        if not child.jobs:
            self._let_go(child, now)

    def retire(self, child: ChildHandle, why: str, now: float) -> None:
        """Replace a child in which a job has left something that can't be put back."""
        log.warning("a child is replaced: its last job left something behind", pid=child.pid, left=why)
        child.retired = True
        self.dismiss(child, now)

    def reap(self, now: float) -> list[tuple[ChildHandle, int]]:
        """Return the children that have died, with their wait status. As PID 1, also reap orphaned processes."""
        dead: list[tuple[ChildHandle, int]] = []
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return dead
            if not pid:
                return dead
            child = self.children.pop(pid, None)
            if child is None:
                self.reaped(pid)
            else:
                # Also kill processes that it has left behind in its group.
                system.kill_group(pid)
                self._unguard(child)
                self._note_death(child, now)
                child.died_with = system.peak_bytes(usage)
                dead.append((child, status))

    def let_all_go(self, now: float) -> None:
        """Let the children that have no job go, and wait until they have left: the last thing that a worker does."""
        for child in self.children.values():
            self.dismiss(child, now)
        while self.children and time.monotonic() < now + EXIT_GRACE:
            self.reap(now)
            # Most leave within a millisecond; those whose modules have hooks may take a while.
            time.sleep(0.001)

    def kill(self, child: ChildHandle, why: str) -> None:
        child.killed = child.killed or why
        child.kill_at = float("inf")
        system.kill_group(child.pid)

    def close(self, child: ChildHandle) -> None:
        """Release the resources of a dead child."""
        self.closed(child)
        child.close()

    # Jobs

    def hand_out(self, backlog: deque[Running], depth: int, now: float) -> None:
        """Assign jobs from the left of `backlog` to the children with the fewest, until none has capacity."""
        places = [
            (len(child.jobs), pid, room) for pid, child in self.children.items() if (room := child.room(depth)) > 0
        ]
        heapify(places)
        given: dict[int, list[Running]] = {pid: [] for _, pid, _ in places}
        while backlog and places:
            fewest, pid, room = places[0]
            given[pid].append(backlog.popleft())
            if room > 1:
                heapreplace(places, (fewest + 1, pid, room - 1))
            else:
                heappop(places)
        self.give({pid: jobs for pid, jobs in given.items() if jobs}, now)

    def give(self, jobs: Mapping[int, Sequence[Running]], now: float) -> None:
        """Assign jobs to children, by their pids."""
        for pid, given in jobs.items():
            self.children[pid].give(given, now)

    def interrupt(self, child: ChildHandle, reason: int, now: float) -> None:
        """Raise an exception in the running handler, and kill it if that does not help in time."""
        head = child.jobs[0]
        if head.interrupted:
            return
        self.thaw(child, now)
        head.interrupted = reason
        head.kill_at = now + self._settings.worker_kill_grace
        child.stop.set(head.number, reason)
        os.kill(child.pid, interrupt.SIGNAL)

    def finished(self, child: ChildHandle, now: float) -> None:
        """Record that the first job of a child has ended, and the next one starts."""
        child.jobs.popleft()
        child.jobs_done += 1
        child.jobs_left -= 1
        child.begin(now)
        most_resident = self._settings.worker_max_rss_per_child
        if child.jobs_left <= 0 or (most_resident is not None and system.resident_bytes(child.pid) > most_resident):
            self.dismiss(child, now)
        elif child.leaving and not child.jobs:
            self._let_go(child, now)

    def retract(self, child: ChildHandle, now: float) -> list[Running]:
        """Take back the jobs queued behind a child's running job."""
        begun = child.claims.take_back(child.last_number) if len(child.jobs) > 1 or child.retired else None
        if begun is None:
            return []
        taken = [running for running in child.jobs if running.number > begun]
        child.jobs = deque(running for running in child.jobs if running.number <= begun)
        if child.leaving and not child.jobs:
            self._let_go(child, now)
        return taken

    def enforce(self, now: float) -> None:
        """Interrupt jobs on timeout, kill those that did not react."""
        for child in self.children.values():
            if now >= child.kill_at:
                self.kill(child, "leaving")
            head = child.head
            if head is None or child.killed or child.frozen:
                continue
            if now >= head.kill_at:
                self._end_late(child, head, now)
            elif not head.interrupted and now >= head.started + head.timeout:
                self.interrupt(child, interrupt.TIMEOUT, now)
            if now >= child.look_at:
                self._watch_memory(child, now)

    def _end_late(self, child: ChildHandle, head: Running, now: float) -> None:
        """Kill a child whose handler does not stop; after a timeout, first have it write where it is."""
        if head.interrupted == interrupt.CANCEL:
            self.kill(child, "cancel")
        elif not head.stack_asked and child.stacks.ask(child.pid):
            head.stack_asked, head.kill_at = True, now + LOOK_AGAIN
        elif now < child.stacks.asked_at + LAST_LOOK and not child.stacks.is_complete(now):
            head.kill_at = now + LOOK_AGAIN
        else:
            self.kill(child, "timeout")

    def wake_at(self) -> float:
        """Return when a child needs attention or has to be forked (monotonic s)."""
        earliest = self._spawn_at if self._is_short() else float("inf")
        for child in self.children.values():
            earliest = min(earliest, child.wake_at())
        return earliest

    def _is_short(self) -> bool:
        if not self.spares:
            return len(self.children) < self.wanted
        staying = sum([not child.is_set_aside for child in self.children.values()])
        return staying < self.wanted or len(self.children) - staying < self.spares

    def _watch_memory(self, child: ChildHandle, now: float) -> None:
        if self._looks:
            child.look(now)
        else:
            child.look_at = float("inf")
        if self._most_memory and child.resident > self._most_memory:
            self.kill(child, "memory")

    def _let_go(self, child: ChildHandle, now: float) -> None:
        if not child.killed:
            child.killed = "leaving"
            child.kill_at = now + EXIT_GRACE
            self.closed(child)
            child.channel.hang_up()

    def _note_death(self, child: ChildHandle, now: float) -> None:
        if child.killed and not child.ready:
            # It was told to leave.
            return
        # A child that dies before it is ready will probably do so again: slow down rather than fork in a loop.
        self._early_deaths = 0 if child.ready else self._early_deaths + 1
        if self._early_deaths:
            pause = doubled(0.1, self._early_deaths, 10.0)
            log.error("a child died before it was ready", pid=child.pid, next_in=pause)
            self._spawn_at = now + pause

    def _spawn(self, now: float, *, spare: bool = False) -> None:
        try:
            pid, shared = start_child(
                self._settings, self._registry, lambda: [*self._inherited(), *self.descriptors()], self._spans
            )
        except OSError as error:
            self._spawn_at = now + 1.0
            log.error("can't start a child; trying again in a second", error=str(error))
            return
        limit = self._settings.worker_max_jobs_per_child
        # With jitter, so that children are not all replaced at the same time.
        jobs_left = limit - random.randint(0, limit // 10)  # noqa: S311
        child = self.children[pid] = ChildHandle(pid, *shared, jobs_left, spare=spare)
        self.opened(child)

    def descriptors(self) -> list[int]:
        """Return the descriptors of the children's channels, which other processes must not inherit."""
        return [
            number
            for child in self.children.values()
            for number in (*child.channel.descriptors(), child.output.fileno(), child.stacks.descriptor)
        ]
