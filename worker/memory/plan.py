"""One round of admission: which jobs of the backlog fit into the memory beside what runs, and in which children."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from gopher.worker.attempt import runs_alone
from gopher.worker.children.handle import ChildHandle
from gopher.worker.running import Running

from .ledger import NEGLIGIBLE, Ledger


class Plan:
    """Assigns jobs to children until none has room, or nothing may start beside what was assigned."""

    def __init__(self, children: Iterable[ChildHandle], ledger: Ledger, room: int, depth: int) -> None:
        every = list(children)
        busy = [child for child in every if child.jobs]
        self._planned = {child.pid: ledger.planned(child) for child in every}
        #: Bytes that are left.
        self.free = room - sum(self._planned.values())
        self.is_empty = not busy
        #: Whether nothing more may start, since a job runs alone.
        self.is_closed = any(runs_alone(child.jobs[0].job) for child in busy)
        #: Children with room: those with the fewest jobs first, and of these what has grown most.
        self._places = [
            (len(child.jobs), -child.grown, child.pid, places) for child in every if (places := child.room(depth)) > 0
        ]
        heapify(self._places)
        self.given: dict[int, list[Running]] = {}

    @property
    def has_place(self) -> bool:
        return bool(self._places)

    def fits(self, running: Running, need: int) -> bool:
        """Return whether a job may start in the next child: anything may if nothing else runs."""
        if self.is_empty:
            return True
        if self.is_closed or runs_alone(running.job):
            return False
        return need <= NEGLIGIBLE or self._growth(need) <= self.free

    def add(self, running: Running, need: int) -> None:
        """Assign a job to the next child."""
        jobs, grown, pid, places = heappop(self._places)
        self.free -= self._growth_of(pid, need)
        self._planned[pid] = max(self._planned[pid], need)
        self.given.setdefault(pid, []).append(running)
        self.is_empty, self.is_closed = False, runs_alone(running.job)
        if places > 1:
            heappush(self._places, (jobs + 1, grown, pid, places - 1))

    def _growth(self, need: int) -> int:
        return self._growth_of(self._places[0][2], need)

    def _growth_of(self, pid: int, need: int) -> int:
        return max(need - self._planned[pid], 0)
