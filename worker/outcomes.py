"""Outcomes of attempts: decides about children's reports and deaths, and settles the jobs."""

import time
from collections.abc import Mapping

import msgspec

from gopher.config.settings import Settings
from gopher.jobs.job import died_of_memory
from gopher.server.crashpoints import reached
from gopher.telemetry.logs import get_logger

from .attempt import runs_alone
from .children import interrupt
from .children.crash_reports import crash_report, place_of
from .children.handle import ChildHandle
from .children.oom_kills import OomKills
from .children.system import describe_exit
from .crew import Crew
from .events import Events
from .memory.admission import Admission
from .messages import Completed, Failed
from .preemption import Preemption
from .queue_side.decisions import (
    CANCELLED,
    LOST,
    RELEASED,
    Decision,
    on_crash,
    on_failure,
    on_memory_error,
    on_no_handler,
    on_out_of_memory,
    on_timeout,
)
from .queue_side.served_queue import ServedQueue
from .running import Running
from .tracing.exporter import Exporter, killed
from .worker_info import WorkerInfo

log = get_logger("worker")


class Outcomes:
    """Settles the attempts of all children."""

    def __init__(
        self,
        settings: Settings,
        queues: Mapping[str, ServedQueue],
        crew: Crew,
        info: WorkerInfo,
        exporter: Exporter | None,
        events: Events | None,
        admission: Admission | None = None,
    ) -> None:
        #: None if jobs are not admitted by memory.
        self._admission = admission
        self._settings = settings
        self._queues = queues
        self._crew = crew
        self._info = info
        self._exporter = exporter
        #: None without middleware that hears of failures.
        self._events = events
        #: None if this worker freezes no jobs.
        self.preemption: Preemption | None = None
        #: To be looked at with each heartbeat.
        self.oom_kills = OomKills()
        #: How many jobs have become dead letters here.
        self.dead_letters = 0

    def finish(self, child: ChildHandle, outcome: Completed | Failed) -> None:
        """Settle an attempt that a child has reported as ended."""
        reached("outcome.taken")
        now = time.monotonic()
        running = child.jobs[0]
        if running.frozen:
            # The child's clock runs while it is frozen.
            outcome = msgspec.structs.replace(outcome, seconds=max(outcome.seconds - running.frozen, 0.0))
        log_lines = child.output.close_job(running.number)
        admission = self._admission
        if outcome.usage is not None or (admission is not None and running.job.type not in admission.is_small):
            outcome = self._learn(child, running, outcome)
        self._crew.pool.finished(child, now)
        self._info.job_done()
        self._crew.prefetch.learn(outcome.seconds)
        settler = self._queues[running.queue].settler
        if isinstance(outcome, Completed):
            settler.complete(running, outcome, log_lines)
            return
        decision = self._decide_on_failure(running, outcome)
        final = settler.settle(running, decision, log_lines, now - outcome.seconds, now, outcome.usage)
        self._tell(running, final, outcome.told)

    def _learn(self, child: ChildHandle, running: Running, outcome: Completed | Failed) -> Completed | Failed:
        """Learn from what an attempt has used. Returns its outcome as it was seen from outside."""
        if self._admission is not None:
            outcome = self._admission.ended(child, running, outcome)
        if self.preemption is not None and outcome.usage is not None:
            self.preemption.note_memory(running, outcome.usage.peak - child.fresh)
        return outcome

    def _decide_on_failure(self, running: Running, outcome: Failed) -> Decision:
        # Unless middleware was told that no attempt follows.
        found_none = outcome.error_type == "MemoryError" and outcome.kind == "error" and outcome.told < 2
        if found_none and self._may_run_alone(running):
            return on_memory_error(running.job, outcome)
        return on_failure(
            running.job, outcome, running.handler, max_retries=running.max_retries, timeout=running.timeout
        )

    def _may_run_alone(self, running: Running) -> bool:
        """Return whether a job that has found no memory may find more without others beside it."""
        if self._admission is None or self._settings.worker_max_address_space_per_child is not None:
            return False
        others = sum(1 for child in self._crew.pool.children.values() if child.jobs)
        return others > 0 and not runs_alone(running.job)

    def no_handler(self, running: Running, now: float) -> None:
        """Settle a job of a type without handler here."""
        self._end(running, on_no_handler(running.job), b"", now, now)

    def bury(self, child: ChildHandle, status: int, now: float) -> None:
        """Settle the jobs of a dead child, after all of its messages were read."""
        child.count_frozen(now)
        if not child.has_descendants:
            # It may have grown since it was looked at; its meter has reset the peak for the job.
            child.most_resident = max(child.most_resident, child.died_with)
        jobs = list(child.jobs)
        if jobs and child.killed == "lost":
            self._trace(jobs[0], LOST)
            self._tell(jobs[0], LOST)
        elif jobs:
            first, *behind = jobs
            self._settle_death(child, first, self._how(child, status), now)
            for running in behind:
                self._give_back(running)
        if not child.killed:
            log.warning("a child process died", pid=child.pid, how=describe_exit(status), jobs=len(jobs))
        child.jobs.clear()
        self._info.outdated = True
        self._crew.pool.close(child)

    def _how(self, child: ChildHandle, status: int) -> str:
        """Describe how a child died, including an out-of-memory kill."""
        how = describe_exit(status)
        if how != "SIGKILL" or child.killed or not self.oom_kills.explain_one():
            return how
        seen = f" after it had {child.most_resident / 2**20:.0f} MiB" if child.most_resident else ""
        return f"out of memory (killed by the system{seen})"

    def _settle_death(self, child: ChildHandle, running: Running, how: str, now: float) -> None:
        if child.killed == "shutdown":
            self._trace(running, RELEASED)
            self._give_back(running)
            return
        decision = self._decide_on_death(child, running, how)
        self._end(running, decision, child.output.close_job(running.number), running.started, now)

    def _decide_on_death(self, child: ChildHandle, running: Running, how: str) -> Decision:
        settings = self._settings
        if running.interrupted and not child.killed and how == interrupt.SIGNAL.name:
            # A handler has reset its signals, so that the interruption has ended the child.
            child.killed = "timeout" if running.interrupted == interrupt.TIMEOUT else "cancel"
        if child.killed == "timeout":
            stack = child.stacks.read() if running.stack_asked else ""
            return on_timeout(
                running.job,
                running.timeout,
                settings.worker_kill_grace,
                running.max_retries,
                running.handler,
                stack,
                place_of(stack, running.handler),
            )
        if child.killed == "cancel":
            return CANCELLED
        if child.killed == "nonsense":
            how = "wrote into its connection to the worker"
        elif child.killed == "memory":
            # Without a comma: the record has a list of them.
            setting = "WORKER_MEMORY" if child.exceeds else "WORKER_MAX_MEMORY_PER_CHILD"
            how = f"used {child.resident / 2**20:.0f} MiB of memory (see {setting})"
        report = crash_report(child.output.lines(running.number), running.handler)
        if self._admission is not None and died_of_memory(how):
            self._admission.killed(child, running)
            return on_out_of_memory(running.job, how, report.text, settings.worker_max_crashes, report.place)
        return on_crash(running.job, how, report.text, settings.worker_max_crashes, report.place)

    def _end(self, running: Running, decision: Decision, log_lines: bytes, started: float, ended: float) -> None:
        self._trace(running, decision)
        self._tell(running, self._queues[running.queue].settler.settle(running, decision, log_lines, started, ended))

    def _tell(self, running: Running, decision: Decision, told: int = 0) -> None:
        """Count dead letters; have middleware told what no child has told it."""
        if decision.kind == "dead":
            self.dead_letters += 1
        if self._events is not None:
            self._events.tell(running, decision, told)

    def _give_back(self, running: Running) -> None:
        self._queues[running.queue].settler.requeue(running)

    def _trace(self, running: Running, decision: Decision) -> None:
        """Create the span of an attempt whose child could not end it."""
        if self._exporter is not None:
            lasted = max(time.monotonic() - running.started, 0.0)
            self._exporter.tell(killed(running.assignment(), decision, lasted))
