"""A fleet of idle workers in one process: supervisors that make all the calls of real ones, without any children.

Each has its own connections. So what the server has for them is what it has for as many worker processes, while the
machine that measures needs the memory and the time of one.
"""

import heapq
import selectors
import sys
import time
from functools import cache

from gopher.worker.children.capture import CapturedOutput
from gopher.worker.children.channel import SupervisorEnd
from gopher.worker.children.claims import Claims
from gopher.worker.children.handle import ChildHandle
from gopher.worker.children.interrupt import Interrupt
from gopher.worker.children.stacks import StackFile
from gopher.worker.supervisor import Supervisor

from gopher.config.settings import Settings
from gopher.jobs.registry import Registry

#: No process has this pid.
_NOBODY = 2**30


class IdleWorker(Supervisor):
    """A supervisor whose children are always idle: they are handles without a process."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        super().__init__(settings, registry)
        for number in range(1, settings.worker_concurrency + 1):
            self._pool.children[-number] = _idle_child()
        self._serve()

    def fileno(self) -> int:
        return self._selector.fileno()  # type: ignore[attr-defined, no-any-return]

    def turn(self) -> float:
        """Handle what has arrived and do what is due; return when there is more to do (monotonic s)."""
        self._handle_events(0)
        self._work()
        return time.monotonic() + self._pause()

    def leave(self) -> None:
        """Give up the lease."""
        self._lease.resign()
        self._server.close()
        self._selector.close()


@cache
def _resources() -> tuple[SupervisorEnd, CapturedOutput, Interrupt, Claims]:
    """Return what a handle needs of its child. Nothing is at the other end, and idle children all share it."""
    return SupervisorEnd(), CapturedOutput(), Interrupt(), Claims()


def _idle_child() -> ChildHandle:
    channel, output, interrupt, claims = _resources()
    return ChildHandle(_NOBODY, channel, output, interrupt, claims, StackFile(), jobs_left=sys.maxsize, ready=True)


class Fleet:
    """Idle workers that take turns in one thread, each when it has something to do. A context manager."""

    def __init__(self, settings: Settings, count: int, registry: Registry) -> None:
        self._selector = selectors.EpollSelector()
        self._workers: list[IdleWorker] = []
        #: When each has something to do (monotonic s), by its place; the heap has outdated times, too.
        self._wake_at: list[float] = []
        self._due: list[tuple[float, int]] = []
        for _ in range(count):
            self._add(IdleWorker(settings, registry))

    def _add(self, worker: IdleWorker) -> None:
        place = len(self._workers)
        self._workers.append(worker)
        self._wake_at.append(0.0)
        self._selector.register(worker, selectors.EVENT_READ, place)
        self._take_turn(place)

    def _take_turn(self, place: int) -> None:
        self._wake_at[place] = self._workers[place].turn()
        heapq.heappush(self._due, (self._wake_at[place], place))

    def run(self, seconds: float) -> None:
        """Let the workers work for some seconds."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            while self._due[0][0] <= now:
                at, place = heapq.heappop(self._due)
                if at == self._wake_at[place]:
                    self._take_turn(place)
            for key, _ in self._selector.select(max(min(self._due[0][0], end) - time.monotonic(), 0.0)):
                self._take_turn(key.data)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *exc: object) -> None:
        self._selector.close()
        for worker in self._workers:
            worker.leave()
