"""What the processes of a worker hold of its memory, and what is planned for the jobs that they run.

The memory that all have without jobs is measured now and then, as shared memory is shared by many. On top of it each
child has grown, by what it runs or has left over. A job counts for what it needs, or for what its child has grown by if
that is more.
"""

import os
import time
from collections.abc import Callable, Iterable

from gopher.worker.children import system
from gopher.worker.children.handle import LOOK, ChildHandle
from gopher.worker.children.memory import proportional_bytes
from gopher.worker.children.pool import Pool
from gopher.worker.running import Running

#: Minimum seconds between two measurements of the processes without jobs, and the share of the time that they may take.
_PAUSE, _SHARE = 5.0, 0.001
#: Bytes that a job may always use: so much more or less is found in any process.
NEGLIGIBLE = 16 * 2**20


class Ledger:
    """The memory of a worker's processes. `need_of` returns what a job needs."""

    def __init__(self, pool: Pool, need_of: Callable[[Running], int], *, without_files: bool) -> None:
        self._pool = pool
        #: Whether what is mapped from files does not count.
        self._without_files = without_files
        self._need_of = need_of
        #: What supervisor and children have together without jobs.
        self.base = 0
        self._measured: frozenset[int] = frozenset()
        self._measure_at = 0.0

    @property
    def fresh(self) -> int:
        """What a child has resident that has run no job, 0 while none is ready."""
        return max((child.fresh for child in self._pool.children.values()), default=0)

    def look(self, now: float) -> None:
        """Measure what the processes have without jobs, if others are there than the last time."""
        children = [child for child in self._pool.children.values() if child.ready and not child.killed]
        pids = frozenset(child.pid for child in children)
        if pids == self._measured or now < self._measure_at:
            return
        began = time.thread_time()
        own = os.getpid()
        self.base = self._bytes(own) or system.resident_bytes(own)
        for child in children:
            self.base += self._without_job(child)
        self._measured = pids
        if len(pids) == len(self._pool.children):
            self._measure_at = now + max(_PAUSE, (time.thread_time() - began) / _SHARE)

    def _without_job(self, child: ChildHandle) -> int:
        """Return the memory that a child would have had it run no job."""
        proportional = self._bytes(child.pid)
        if proportional is None:
            return child.fresh
        return max(proportional - max(system.resident_bytes(child.pid) - child.fresh, 0), 0)

    def _bytes(self, pid: int) -> int | None:
        return proportional_bytes(pid, without_files=self._without_files)

    def look_at_children(self, now: float, *, idle_only: bool = False) -> None:
        """Look at what children have: those that run a job, and what others have left over from their last one."""
        for child in self._pool.children.values():
            if child.jobs:
                # If counting its memory is slow, it is looked at when that is due.
                if not (idle_only or child.killed) and child.look_at <= now + LOOK:
                    child.look(now)
            elif child.looked_after != child.jobs_done or child.grown > NEGLIGIBLE:
                child.looked_after = child.jobs_done
                child.resident = system.resident_bytes(child.pid)

    def grown(self) -> int:
        """Return the bytes by which all children have grown."""
        return sum(child.grown for child in self._pool.children.values() if not child.killed)

    def planned(self, child: ChildHandle) -> int:
        """Return the bytes that a child is planned to grow by: it runs one job at a time."""
        return max(child.grown, *map(self._need_of, child.jobs)) if child.jobs else child.grown

    def planned_for(self, children: Iterable[ChildHandle]) -> int:
        return sum(self.planned(child) for child in children)
