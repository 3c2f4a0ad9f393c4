"""The supervisor's handle of a child: its jobs, its capacity, and when it needs attention."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gopher.worker.messages import packed
from gopher.worker.running import Running

from gopher.server.crashpoints import reached

from .capture import CapturedOutput
from .channel import SupervisorEnd
from .claims import Claims
from .interrupt import Interrupt

#: Seconds after which the jobs queued behind a long one in its child's channel are taken back.
STRAGGLER = 0.05


@dataclass(slots=True, eq=False)
class ChildHandle:
    """A child process."""

    pid: int
    channel: SupervisorEnd
    output: CapturedOutput
    stop: Interrupt
    claims: Claims
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
    #: Why we killed it: "timeout", "cancel", "shutdown", "lost", "nonsense", "leaving"; "" if we did not.
    killed: str = ""
    #: The running job has turned out to be long: no jobs may be queued behind it.
    straggles: bool = False
    #: Whether the event loop watches whether the channel is writable.
    writing: bool = False

    @property
    def head(self) -> Running | None:
        return self.jobs[0] if self.jobs else None

    @property
    def running_number(self) -> int:
        return self.jobs[0].number if self.jobs else 0

    @property
    def goes_on(self) -> bool:
        """Whether it has a job and can run another one afterwards."""
        return 0 < len(self.jobs) < self.jobs_left and not (self.leaving or self.killed)

    def holds_up(self, now: float) -> bool:
        """Return whether its job has run for so long that none should be queued behind it."""
        return now - self.jobs[0].started >= STRAGGLER if self.jobs else False

    def room(self, depth: int) -> int:
        """Return how many more jobs it can take if it may have `depth`."""
        if not self.ready or self.leaving or self.killed:
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

    def begin(self, now: float) -> None:
        """Record that its first job, if any, starts now."""
        if self.jobs:
            self.jobs[0].started = now
            self.straggles = False

    def wake_at(self) -> float:
        """Return when its job has to be interrupted or killed, or queued ones are taken back (monotonic s)."""
        if not self.jobs or self.killed:
            return self.kill_at
        head = self.jobs[0]
        wake_at = min(self.kill_at, head.kill_at if head.interrupted else head.started + head.timeout)
        return min(wake_at, head.started + STRAGGLER) if len(self.jobs) > 1 else wake_at

    def close(self) -> None:
        """Release the resources of a dead child."""
        self.channel.close()
        self.output.close()
        self.stop.close()
        self.claims.close()
