"""Admission by memory: a job starts only if what jobs of its type need fits beside what runs.

Jobs that don't fit are held, with their lease, and others pass them by; but not for longer than `PATIENCE`: then
nothing is started before them. While every type needs less than its share of the memory, a job costs one
dictionary lookup.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
from gopher.worker.attempt import runs_alone
from gopher.worker.children.handle import LOOK, ChildHandle
from gopher.worker.crew import Crew
from gopher.worker.job_logs import job_fields
from gopher.worker.messages import Completed, Failed, Usage
from gopher.worker.queue_side.clock import ServerClock
from gopher.worker.queue_side.served_queue import ServedQueue
from gopher.worker.running import Running

from gopher.jobs.models import WorkerMemory
from gopher.telemetry.logs import get_logger

from .first_jobs import FirstJobs
from .held import Held
from .learning import Learning
from .ledger import NEGLIGIBLE, Ledger
from .limit import Limit
from .plan import Plan
from .sizes import Sizes

log = get_logger("worker")

#: What a job is taken to need while nothing is known of its type: that many bytes, or half of what there is.
UNKNOWN = 512 * 2**20
#: Bytes that must be left for it all the same, if no other such job runs: it is tried out.
TRIED = 64 * 2**20
#: Seconds for which others may pass a job by.
PATIENCE = 30.0
#: Seconds between two looks at the limit, and between two looks at children while memory is scarce.
_REFRESH, _CLOSE_LOOK = 1.0, 0.05
#: The share of the memory from which on it is scarce, and the bytes left over by a job for which a child is replaced.
_SCARCE, _LEFT_OVER = 0.7, 64 * 2**20
_MIB = 2**20
#: Maximum number of types and classes whose needs are shown.
_SHOWN = 100


class Admission:
    """Decides which jobs of the backlog start."""

    def __init__(
        self, setting: int, crew: Crew, queues: Mapping[str, ServedQueue], clock: ServerClock, types: Sequence[str]
    ) -> None:
        self._crew = crew
        self._pool = crew.pool
        self._types = types
        self.limit = Limit(setting)
        self.sizes = Sizes()
        self._learning = Learning(self.sizes, queues)
        self.ledger = Ledger(crew.pool, self.need, without_files=self.limit.is_shared)
        self.held = Held(crew, queues, clock)
        #: Whether a type's jobs need no more than their share each; if it is not known, `_unknown_is_small`.
        self.is_small: dict[str, bool] = {}
        self._unknown_is_small = self._all_are_small = True
        #: Whether more than its share is in use by a job, or jobs are held.
        self._is_tight = False
        self._first_jobs = FirstJobs()
        self._check_at = self._refresh_at = 0.0

    # Which jobs start

    def lets_all(self, backlog: deque[Running], now: float) -> bool:
        """Return whether all jobs fit, however many run."""
        if now >= self._refresh_at:
            self.refresh(now)
        if self._is_tight:
            return False
        if not self._all_are_small:
            types = {running.job.type for running in backlog}
            if not all(self.is_small.get(name, self._unknown_is_small) for name in types):
                return False
        # Of every job: a generator would take half as long again.
        return not any([running.job.crashes for running in backlog])  # noqa: C419

    def hand_out(self, backlog: deque[Running], depth: int, now: float) -> None:
        """Assign the jobs that fit, from the left of the backlog; those that don't are held."""
        self.ledger.look_at_children(now, idle_only=True)
        plan = Plan(self._pool.children.values(), self.ledger, self.room, depth)
        passed_by: list[Running] = []
        self._put_in_order(backlog, now)
        # What is frozen does not grow.
        growing = [child for child in self._pool.children.values() if child.frozen is None]
        is_trying = any(self._is_unknown(running) for child in growing for running in child.jobs)
        while backlog and plan.has_place:
            running = backlog.popleft()
            need = self.need(running)
            tries = not is_trying and self._is_unknown(running)
            if plan.fits(running, min(need, TRIED) if tries else need):
                is_trying = is_trying or tries
                plan.add(running, need)
                self.held.starts(running, now)
                continue
            passed_by.append(running)
            self.held.passed_by(running, need, now)
            if self.held.waited(running, now) >= PATIENCE:
                plan.is_closed = True
        # Others were held before, and no child has had a place for them.
        passed_by += [running for running in backlog if running.held_at is not None]
        self._crew.held.extend(passed_by)
        self._crew.take_out(passed_by)
        self._pool.give(plan.given, now)
        self._is_tight = bool(passed_by) or plan.is_closed or self._is_scarce()
        if passed_by:
            self._replace_idle(self.need(passed_by[0]) - plan.free, now)

    def _put_in_order(self, backlog: deque[Running], now: float) -> None:
        """Put first what was passed by for long, then the largest jobs of each priority, between which others fit.

        The places of the priorities stay, since these take turns.
        """
        due = [running for running in backlog if self.held.waited(running, now) >= PATIENCE]
        others = [running for running in backlog if running not in due] if due else [*backlog]
        by_size: dict[str, deque[Running]] = {}
        for running in sorted(others, key=self.need, reverse=True):
            by_size.setdefault(running.job.priority, deque()).append(running)
        backlog.clear()
        backlog.extend(due)
        backlog.extend(by_size[running.job.priority].popleft() for running in others)

    def may_fetch(self, now: float) -> bool:
        """Return whether to fetch more jobs: not while many are held, or others should have those that were."""
        return not (self._crew.held and self.held.is_full) and now >= self.held.yields_until

    def need(self, running: Running) -> int:
        """Return the bytes that a job needs."""
        return self.need_of(running.job.type, running.file_class)

    def need_to_start(self, running: Running) -> int:
        """Return the bytes that must be free: less if nothing is known of a job's type, since it is tried out then."""
        need = self.need(running)
        return min(need, TRIED) if self._is_unknown(running) else need

    def need_of(self, job_type: str, file_class: int) -> int:
        """Return the bytes that a job of a type needs, with files of a class."""
        need = self.sizes.need(job_type, file_class)
        if need is None:
            need = self._first_jobs.need(job_type)
        return self._need_of_unknown if need is None else need

    @property
    def _need_of_unknown(self) -> int:
        return max(min(UNKNOWN, self.room // 2), TRIED)

    def _is_unknown(self, running: Running) -> bool:
        return not self.sizes.knows(running.job.type) and not self._first_jobs.tells(running.job.type)

    @property
    def room(self) -> int:
        """The bytes by which all children together may grow."""
        return self.limit.for_jobs - self.ledger.base

    @property
    def free(self) -> int:
        """The bytes of them that are not planned for a job."""
        return self.room - self.ledger.planned_for(self._pool.children.values())

    def view(self) -> WorkerMemory:
        """Return it for display."""
        room = max(self.room, 0)
        every = self.sizes.needs()
        # Also what jobs with smaller files need, which are known by it.
        needs = {name: need for name, need in every.items() if every.get(name.partition("/")[0], 0) > NEGLIGIBLE}
        largest = sorted(needs, key=needs.__getitem__, reverse=True)[:_SHOWN]
        held = [running.job.id for running in self._crew.held]
        shown = {name: needs[name] for name in sorted(largest)}
        return WorkerMemory(self.limit.bytes, room, self._in_use, max(self.free, 0), held, shown)

    def _replace_idle(self, missing: int, now: float) -> None:
        """Replace children without jobs that have kept much of their last one, if that makes room."""
        idle = [child for child in self._pool.children.values() if not child.jobs and child.grown > _LEFT_OVER]
        if 0 < missing <= sum(child.grown for child in idle):
            for child in idle:
                self._pool.dismiss(child, now)

    # What they use

    def ended(self, child: ChildHandle, running: Running, outcome: Completed | Failed) -> Completed | Failed:
        """Learn from an attempt. Returns its outcome with the peak of memory that was seen from outside."""
        usage = outcome.usage
        # The system may not tell the peak: then it is the most that was seen from outside.
        peak = 0 if usage is None else max(usage.peak, child.most_resident)
        if usage is None or not peak:
            if running.job.type not in self.is_small:
                self.sizes.saw_short(running.job.type)
                self._classify()
            return outcome
        self._learn(running, peak - child.fresh)
        if peak == usage.peak:
            return outcome
        # Also of the processes that the handler has started.
        return msgspec.structs.replace(outcome, usage=Usage(usage.user, usage.system, peak))

    def killed(self, child: ChildHandle, running: Running) -> None:
        """Learn from an attempt that was killed for lack of memory: it needs no less than it was known to."""
        known = self.need(running) if self.sizes.knows(running.job.type) else 0
        self._learn(running, max(child.most_resident - child.fresh, known))

    def begin(self, now: float) -> None:
        """Ask what jobs have needed so far, before the first ones are fetched."""
        self._learning.ask(self._types, now)

    def check(self, now: float) -> None:
        """Look at what is in use, and kill a job before the system does."""
        self.held.check(now)
        if now < self._check_at:
            return
        self._check_at = now + LOOK
        if not self._crew.busy():
            return
        if now >= self._refresh_at:
            self.refresh(now)
        self.look_at_first_jobs(now)
        if self._in_use > _SCARCE * self.limit.for_jobs:
            self._look_closely(now)
        self._is_tight = self._is_tight or self._is_scarce()

    @property
    def _in_use(self) -> int:
        return self.ledger.base + self.ledger.grown()

    def _look_closely(self, now: float) -> None:
        self._check_at = now + _CLOSE_LOOK
        self._look(now)
        if self._in_use > self.limit.most:
            self._kill_one(self._in_use)

    def wake_at(self) -> float:
        """Return when to check again (monotonic s)."""
        return self._check_at if self._is_tight else float("inf")

    def refresh(self, now: float) -> None:
        """Look at the limit, and at what has started since the last time."""
        self._refresh_at = now + _REFRESH
        self.ledger.look(now)
        self.sizes.fresh = self.ledger.fresh
        self._look(now)
        self._learning.ask(self._here(), now)
        self._classify()

    def _look(self, now: float) -> None:
        """Look at the children, and immediately after that at what others use: their growth must not count for both."""
        self.ledger.look_at_children(now)
        self.limit.look(self._in_use)

    def _here(self) -> set[str]:
        """Return the types of the jobs that are here."""
        return {running.job.type for running in self._crew.in_hand()}

    def look_at_first_jobs(self, now: float) -> None:
        """Look how much the running jobs of unknown types have grown."""
        # What is frozen does not grow.
        every = [each for each in self._pool.children.values() if each.head and not (each.frozen or each.killed)]
        self._first_jobs.look([each for each in every if not self.sizes.knows(each.jobs[0].job.type)], now)

    def _learn(self, running: Running, need: int) -> None:
        self.sizes.saw(running.job.type, running.file_class, max(need, 0))
        self._first_jobs.forget(running.job.type)
        self._classify()

    def _classify(self) -> None:
        """Note which types' jobs fit however many of them run."""
        share = self._share
        self._unknown_is_small = self._need_of_unknown <= share
        self.is_small = {name: (self.sizes.most(name) or 0) <= share for name in self.sizes.known()}
        self._all_are_small = self._unknown_is_small and all(self.is_small.values())

    @property
    def _share(self) -> int:
        return max(self.room // max(len(self._pool.children), 1), NEGLIGIBLE)

    def _is_scarce(self) -> bool:
        share = self._share
        return any(self.ledger.planned(child) > share for child in self._pool.children.values())

    def _kill_one(self, in_use: int) -> None:
        """Kill the job that exceeds what was planned for it most; if none does, others need the memory."""
        if any(child.killed for child in self._pool.children.values()):
            # What it had is free in a moment.
            return
        excess = {child.pid: self._excess(child) for child in self._pool.children.values() if child.jobs}
        pid = max(excess, key=excess.__getitem__, default=0)
        if not pid or excess[pid] <= 0:
            return
        child = self._pool.children[pid]
        log.warning(
            "a job is killed: the worker has used up its memory",
            used_mib=child.resident // _MIB,
            all_mib=in_use // _MIB,
            limit_mib=self.limit.bytes // _MIB,
            **job_fields(child.jobs[0]),
        )
        child.exceeds = self.limit.bytes
        self._pool.kill(child, "memory")

    def _excess(self, child: ChildHandle) -> int:
        running = child.jobs[0]
        if runs_alone(running.job):
            return child.grown
        return child.grown - min(self.need(running), self.room)
