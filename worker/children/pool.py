"""The children of a worker: forked, given jobs, timed, killed, reaped. Nothing here knows the queue."""

import gc
import os
import random
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

from gopher.worker.messages import Assignment, encode
from gopher.worker.running import Running

from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.queue.moves import FetchedJob
from gopher.server.crashpoints import reached
from gopher.telemetry.logs import get_logger

from . import interrupt, system
from .capture import CapturedOutput
from .channel import DEEPEST, SupervisorEnd
from .child import Child
from .claims import Claims

log = get_logger("worker")

#: Seconds after which a job that holds up others behind it in its child's channel loses them.
STRAGGLER = 0.05
#: Seconds for which the worker holds the next job for a child that is busy, at most.
HELD = 0.2
#: Seconds that a child which shall leave may take.
EXIT_GRACE = 2.0


@dataclass(slots=True, eq=False)
class ChildHandle:
    """One child as the supervisor sees it."""

    pid: int
    channel: SupervisorEnd
    output: CapturedOutput
    stop: interrupt.Interrupt
    claims: Claims
    jobs_left: int
    born: float
    jobs: deque[Running] = field(default_factory=deque)
    jobs_done: int = 0
    last_number: int = 0
    ready: bool = False
    leaving: bool = False
    kill_at: float = float("inf")
    #: Why it was killed by us: "timeout", "cancel", "shutdown", "lost", "nonsense", "leaving"; "" when it was not.
    killed: str = ""
    #: The running job has turned out to be a long one: nothing may wait behind it.
    straggles: bool = False
    writing: bool = False

    @property
    def head(self) -> Running | None:
        return self.jobs[0] if self.jobs else None

    @property
    def running_number(self) -> int:
        return self.jobs[0].number if self.jobs else 0


class Pool:
    """Keeps as many children as wanted, and hands them jobs."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        inherited: Callable[[], Iterable[int]],
        spans: socket.socket | None = None,
    ) -> None:
        self._settings = settings
        #: Where the children send their spans, when tracing is on.
        self._spans = spans
        self._registry = registry
        self._inherited = inherited
        self.wanted = settings.worker_concurrency
        self.children: dict[int, ChildHandle] = {}
        self._spawn_at = 0.0
        self._early_deaths = 0
        #: Told of each child forked, and of each one's descriptors before they are closed.
        self.opened: Callable[[ChildHandle], None] = lambda child: None
        self.closed: Callable[[ChildHandle], None] = lambda child: None

    # Children

    def maintain(self, now: float) -> None:
        """Fork what is missing; let what is too many go."""
        staying = [child for child in self.children.values() if not child.leaving]
        for child in staying[self.wanted :]:
            self.dismiss(child, now)
        for _ in range(self.wanted - len(staying)):
            if now < self._spawn_at:
                return
            self._spawn(now)

    def dismiss(self, child: ChildHandle, now: float) -> None:
        """Let a child go once it has no job."""
        child.leaving = True
        if not child.jobs:
            self._let_go(child, now)

    def reap(self, now: float) -> list[tuple[ChildHandle, int]]:
        """Return the children that have died, with their wait status. As PID 1 it reaps strangers too."""
        dead: list[tuple[ChildHandle, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return dead
            if not pid:
                return dead
            child = self.children.pop(pid, None)
            if child is not None:
                # What it has started and left behind in its group goes with it.
                system.kill_group(pid)
                self._note_death(child, now)
                dead.append((child, status))

    def kill(self, child: ChildHandle, why: str) -> None:
        child.killed = child.killed or why
        child.kill_at = float("inf")
        system.kill_group(child.pid)

    def close(self, child: ChildHandle) -> None:
        """Free what a dead child's handle holds."""
        self.closed(child)
        child.channel.close()
        child.output.close()
        child.stop.close()
        child.claims.close()

    # Jobs

    def capacity(self, depth: int) -> int:
        """Return how many jobs the children can take when each may have `depth` in its channel."""
        return sum(self._room(child, depth) for child in self.children.values())

    def soon_free(self, now: float) -> int:
        """Return how many children are likely to need another job within `HELD` seconds."""
        return sum(now < child.jobs[0].started + HELD for child in self.children.values() if self._goes_on(child))

    def late_at(self, now: float) -> float:
        """Return when the first of them will have taken longer than that (monotonic s)."""
        ends = (child.jobs[0].started + HELD for child in self.children.values() if self._goes_on(child))
        return min((end for end in ends if end > now), default=float("inf"))

    def hand_out(self, backlog: deque[Running], depth: int, now: float) -> None:
        """Give jobs from the left of `backlog` to the children with the fewest, until none has room."""
        places = [
            (len(child.jobs), pid, room)
            for pid, child in self.children.items()
            if (room := self._room(child, depth)) > 0
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
        for pid, jobs in given.items():
            if jobs:
                self._give(self.children[pid], jobs, now)

    def _give(self, child: ChildHandle, jobs: list[Running], now: float) -> None:
        was_idle = not child.jobs
        for number, running in enumerate(jobs, child.last_number + 1):
            running.number = number
            running.follows = True
        child.last_number += len(jobs)
        child.jobs.extend(jobs)
        if was_idle:
            jobs[0].follows = False
            child.output.begin(jobs[0].number)
            self.start(child, now)
        for message in _messages(jobs):
            child.channel.send(message)
            reached("job.given")

    def start(self, child: ChildHandle, now: float) -> None:
        """Note that the first job of a child begins now."""
        if child.jobs:
            child.jobs[0].started = now
            child.straggles = False

    def interrupt(self, child: ChildHandle, reason: int, now: float) -> None:
        """Raise an exception in the running handler, and kill it if that does not help in time."""
        head = child.jobs[0]
        if head.interrupted:
            return
        head.interrupted = reason
        head.kill_at = now + self._settings.worker_kill_grace
        child.stop.set(head.number, reason)
        os.kill(child.pid, interrupt.SIGNAL)

    def finished(self, child: ChildHandle, now: float) -> None:
        """Note that the first job of a child has ended; the next one begins."""
        child.jobs.popleft()
        child.jobs_done += 1
        child.jobs_left -= 1
        self.start(child, now)
        if child.jobs_left <= 0 or self._too_big(child):
            self.dismiss(child, now)
        elif child.leaving and not child.jobs:
            self._let_go(child, now)

    def retract(self, child: ChildHandle, now: float) -> list[Running]:
        """Take back what waits behind a child's running job."""
        begun = child.claims.take_back(child.last_number) if len(child.jobs) > 1 else None
        if begun is None:
            return []
        taken = [running for running in child.jobs if running.number > begun]
        child.jobs = deque(running for running in child.jobs if running.number <= begun)
        if child.leaving and not child.jobs:
            self._let_go(child, now)
        return taken

    def enforce(self, now: float) -> None:
        """Interrupt what has run too long, kill what did not react."""
        for child in self.children.values():
            if now >= child.kill_at:
                self.kill(child, "leaving")
            head = child.head
            if head is None or child.killed:
                continue
            if now >= head.kill_at:
                self.kill(child, "cancel" if head.interrupted == interrupt.CANCEL else "timeout")
            elif not head.interrupted and now >= head.started + head.timeout:
                self.interrupt(child, interrupt.TIMEOUT, now)

    def wake_at(self) -> float:
        """Return when `enforce` or `maintain` has something to do (monotonic s)."""
        earliest = self._spawn_at if len(self.children) < self.wanted else float("inf")
        for child in self.children.values():
            earliest = min(earliest, child.kill_at)
            if child.jobs and not child.killed:
                head = child.jobs[0]
                earliest = min(earliest, head.kill_at if head.interrupted else head.started + head.timeout)
                if len(child.jobs) > 1:
                    earliest = min(earliest, max(head.started, child.born) + STRAGGLER)
        return earliest

    def _goes_on(self, child: ChildHandle) -> bool:
        """Return whether a child has a job and can do another one afterwards."""
        return 0 < len(child.jobs) < child.jobs_left and not (child.leaving or child.killed)

    def _room(self, child: ChildHandle, depth: int) -> int:
        if not child.ready or child.leaving or child.killed:
            return 0
        return max(min(1 if child.straggles else depth, child.jobs_left) - len(child.jobs), 0)

    def _too_big(self, child: ChildHandle) -> bool:
        limit = self._settings.worker_max_rss_per_child
        return limit is not None and system.resident_bytes(child.pid) > limit

    def _let_go(self, child: ChildHandle, now: float) -> None:
        if not child.killed:
            child.killed = "leaving"
            child.kill_at = now + EXIT_GRACE
            self.closed(child)
            child.channel.hang_up()

    def _note_death(self, child: ChildHandle, now: float) -> None:
        # A child that dies before it is ready will do so again: slow down rather than fork without end.
        self._early_deaths = 0 if child.ready else self._early_deaths + 1
        if self._early_deaths:
            pause = min(0.1 * 2**self._early_deaths, 10.0)
            log.error("a child died before it was ready", pid=child.pid, next_in=pause)
            self._spawn_at = now + pause

    def _spawn(self, now: float) -> None:
        channel, output, stop, claims = SupervisorEnd(), CapturedOutput(), interrupt.Interrupt(), Claims()
        parent = os.getpid()
        # No signal may arrive between the fork and the child's own handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
            channel.close()
            output.close_writer()
            output.close()
            self._spawn_at = now + 1.0
            log.error("can't fork a child; trying again in a second", error=str(error))
            return
        if pid == 0:
            inherited = [*self._inherited(), *self.descriptors(), channel.fileno(), output.fileno()]
            _be_a_child(
                Child(
                    channel.child_end(),
                    stop,
                    claims,
                    self._registry,
                    self._settings.worker_max_memory_per_child,
                    self._spans,
                ),
                inherited,
                output.writer,
                parent,
            )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
        output.close_writer()
        limit = self._settings.worker_max_jobs_per_child
        handle = ChildHandle(
            pid=pid,
            channel=channel,
            output=output,
            stop=stop,
            claims=claims,
            # With jitter, so that children do not all leave at once.
            jobs_left=limit - random.randint(0, limit // 10),  # noqa: S311
            born=now,
        )
        self.children[pid] = handle
        self.opened(handle)

    def descriptors(self) -> list[int]:
        """Return what another process must not inherit of the children's channels."""
        return [
            number
            for child in self.children.values()
            for number in (*child.channel.descriptors(), child.output.fileno())
        ]


_BLOCKED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, interrupt.SIGNAL}


def _be_a_child(child: Child, inherited: list[int], output: int, parent: int) -> None:
    """Never returns: nothing of the supervisor may run in a child."""
    code = 1
    try:
        gc.enable()
        child.run(inherited, output, parent)
        code = 0
    except BaseException:  # noqa: BLE001 - the last frame of this process
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
        finally:
            os._exit(code)


def assignment(running: Running) -> Assignment:
    """Return what a child is told of a job."""
    return Assignment(running.number, running.job, running.queue, running.max_retries, running.timeout, running.follows)


#: Bytes of jobs that are given in one message: the child can begin before all of what is large has come.
TOGETHER = 32 * 1024


def _messages(jobs: list[Running]) -> Iterator[bytes]:
    """Frame jobs for one child: some together, a large one alone."""
    some: list[Assignment] = []
    size = 0
    for running in jobs:
        own = _size(running.job)
        if some and size + own > TOGETHER:
            yield encode(some)
            some, size = [], 0
        some.append(assignment(running))
        size += own
    yield encode(some)


def _size(job: FetchedJob) -> int:
    """Return about how many bytes an assignment of this job has: ids of its parents are as long as small results."""
    parents = sum(len(parent) + len(result) for parent, result in job.parents.items()) if job.parents else 0
    return len(job.envelope) + 300 + parents


#: Jobs that all children of a worker may have in their hands together.
DEEPEST_OF_ALL = 512


def holds_for(mean_seconds: float) -> bool:
    """Return whether the next jobs are to be at hand when children get free, with jobs that take so long on average.

    Shorter ones wait in the children's channels already, and while a long one runs any worker may take the next.
    """
    return 0 < mean_seconds <= HELD


def depth_for(mean_seconds: float, children: int) -> int:
    """Return how many jobs each of so many children may have in its hands when they take so long on average.

    As many as it starts within 20 ms: at 1 ms a job twenty, at 8 ms two, at 20 ms one. What has to wait longer is
    better left in the queue, where any worker can take it.
    """
    if mean_seconds <= 0:
        return 1
    return max(1, int(min(0.02 / mean_seconds, DEEPEST, DEEPEST_OF_ALL / max(children, 1))))
