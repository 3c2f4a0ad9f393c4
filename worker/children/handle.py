"""The supervisor's handle of a child: its jobs, its capacity, and when it needs attention."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gopher.worker.messages import packed
from gopher.worker.running import Running

from gopher.server.crashpoints import reached

from . import system
from .capture import CapturedOutput
from .channel import SupervisorEnd
from .claims import Claims
from .freezing import Frozen
from .interrupt import Interrupt
from .memory import proportional_bytes
from .stacks import StackFile

#: Seconds after which the jobs queued behind a long one in its child's channel are taken back.
STRAGGLER = 0.05
#: Seconds between looks at the memory of a child that runs a job.
LOOK = 0.25
#: The share of the time that these may take.
LOOK_SHARE = 0.01


@dataclass(slots=True, eq=False)
class ChildHandle:
    """A child process."""

    pid: int
    channel: SupervisorEnd
    output: CapturedOutput
    stop: Interrupt
    claims: Claims
    stacks: StackFile
    jobs_left: int
    #: The first one is running, the others are queued in the channel.
    jobs: deque[Running] = field(default_factory=deque)
    jobs_done: int = 0
    last_number: int = 0
    ready: bool = False
    leaving: bool = False
    #: It takes no other jobs: those that it has not started can be taken back.
    retired: bool = False
    kill_at: float = float("inf")
    #: Why we killed it: "timeout", "cancel", "shutdown", "lost", "nonsense", "leaving", "memory"; "" if we did not.
    killed: str = ""
    #: When its memory is looked at next, while a job runs (monotonic s), and what it had then (bytes).
    look_at: float = float("inf")
    resident: int = 0
    #: What it had before its first job, and before the running one; the most that this was seen with, with what it has
    #: started.
    fresh: int = 0
    resident_before: int = 0
    most_resident: int = 0
    #: Whether a job of it has started other processes; and the peak of its last job, or of one of those, which the
    #: system tells at its death.
    has_descendants: bool = False
    died_with: int = 0
    #: How many jobs it had run when it was last looked at without one.
    looked_after: int = 0
    #: The limit of the worker's memory (bytes) if it was killed for that, not for its own.
    exceeds: int = 0
    #: The running job has turned out to be long: no jobs may be queued behind it.
    straggles: bool = False
    #: Whether the event loop watches whether the channel is writable.
    writing: bool = False
    #: It gets no jobs until it takes the place of a frozen child, or of one that has died.
    spare: bool = False
    #: None unless it is stopped, so that an urgent job runs in its place.
    frozen: Frozen | None = None

    @property
    def head(self) -> Running | None:
        return self.jobs[0] if self.jobs else None

    @property
    def running_number(self) -> int:
        return self.jobs[0].number if self.jobs else 0

    @property
    def is_set_aside(self) -> bool:
        """Whether it gets no jobs now."""
        return self.spare or self.frozen is not None

    @property
    def goes_on(self) -> bool:
        """Whether it has a job and can run another one afterwards."""
        return 0 < len(self.jobs) < self.jobs_left and not (self.leaving or self.killed or self.frozen)

    @property
    def grown(self) -> int:
        """The bytes by which it has grown since it was started, at the last look."""
        return max(self.resident - self.fresh, 0)

    def holds_up(self, now: float) -> bool:
        """Return whether its job has run for so long that none should be queued behind it."""
        return now - self.jobs[0].started >= STRAGGLER if self.jobs else False

    def room(self, depth: int) -> int:
        """Return how many more jobs it can take if it may have `depth`."""
        if not self.ready or self.leaving or self.killed or self.spare or self.frozen:
            return 0
        return max(min(1 if self.straggles else depth, self.jobs_left) - len(self.jobs), 0)

    def give(self, jobs: Sequence[Running], now: float) -> None:
        """Send it jobs."""
        was_idle = not self.jobs
        for number, running in enumerate(jobs, self.last_number + 1):
            running.number = number
            running.follows = True
        self.last_number += len(jobs)
        self.jobs.extend(jobs)
        if was_idle:
            jobs[0].follows = False
            self.output.begin(jobs[0].number)
            self.begin(now)
        for message in packed([running.assignment() for running in jobs]):
            self.channel.send(message)
            reached("job.given")

    def look(self, now: float) -> None:
        """Look at the memory that it has resident, with the processes that its job has started."""
        # The processor's time: a supervisor that had none meanwhile must not look the less often for that.
        began = time.thread_time()
        self.resident = system.resident_bytes(self.pid)
        if started := system.descendants(self.pid):
            self.has_descendants = True
            self.resident = max(self.resident, sum(proportional_bytes(pid) or 0 for pid in (self.pid, *started)))
        self.most_resident = max(self.most_resident, self.resident)
        # What is shared takes the kernel a while to count.
        self.look_at = now + max(LOOK, (time.thread_time() - began) / LOOK_SHARE)

    def begin(self, now: float) -> None:
        """Record that its first job, if any, starts now."""
        if self.jobs:
            self.jobs[0].started = now
            self.look_at = now + LOOK
            self.most_resident = 0
            self.resident_before = self.resident
            self.straggles = False

    def wake_at(self) -> float:
        """Return when its job has to be interrupted or killed, or queued ones are taken back (monotonic s)."""
        if not self.jobs or self.killed or self.frozen:
            return self.kill_at
        head = self.jobs[0]
        wake_at = min(self.kill_at, self.look_at, head.kill_at if head.interrupted else head.started + head.timeout)
        return min(wake_at, head.started + STRAGGLER) if len(self.jobs) > 1 else wake_at

    def count_frozen(self, now: float) -> None:
        """Let the time for which it was frozen count towards nothing, when it continues or has been killed."""
        if self.frozen is None or not self.jobs:
            return
        head = self.jobs[0]
        # It may be the next one, if the outcome of the one before was under way.
        lasted = max(now - max(self.frozen.since, head.started), 0.0)
        head.started += lasted
        head.kill_at += lasted
        head.frozen += lasted
        self.look_at = now + LOOK

    def close(self) -> None:
        """Release the resources of a dead child."""
        self.channel.close()
        self.output.close()
        self.stop.close()
        self.claims.close()
        self.stacks.close()
        if self.frozen is not None:
            self.frozen.release()
