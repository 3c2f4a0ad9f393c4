"""Outcomes of attempts: decides about children's reports and deaths, and settles the jobs."""

import time
from collections.abc import Mapping

from gopher.config.settings import Settings
from gopher.server.crashpoints import reached
from gopher.telemetry.logs import get_logger

from .children.crash_reports import crash_report
from .children.handle import ChildHandle
from .children.system import describe_exit, oom_kills
from .crew import Crew
from .events import Events
from .messages import Completed, Failed
from .queue_side.decisions import CANCELLED, LOST, RELEASED, Decision, on_crash, on_failure, on_no_handler, on_timeout
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
    ) -> None:
        self._settings = settings
        self._queues = queues
        self._crew = crew
        self._info = info
        self._exporter = exporter
        #: None without middleware that hears of failures.
        self._events = events
        self._oom_kills = oom_kills()

    def finish(self, child: ChildHandle, outcome: Completed | Failed) -> None:
        """Settle an attempt that a child has reported as ended."""
        reached("outcome.taken")
        now = time.monotonic()
        running = child.jobs[0]
        log_lines = child.output.close_job(running.number)
        self._crew.pool.finished(child, now)
        self._info.job_done()
        self._crew.prefetch.learn(outcome.seconds)
        settler = self._queues[running.queue].settler
        if isinstance(outcome, Completed):
            settler.complete(running, outcome.seconds, outcome.result, log_lines)
            return
        decision = on_failure(
            running.job, outcome, running.handler, max_retries=running.max_retries, timeout=running.timeout
        )
        final = settler.settle(running, decision, log_lines, now - outcome.seconds, now)
        self._tell(running, final, outcome.told)

    def no_handler(self, running: Running, now: float) -> None:
        """Settle a job of a type without handler here."""
        self._end(running, on_no_handler(running.job), b"", now, now)

    def bury(self, child: ChildHandle, status: int, now: float) -> None:
        """Settle the jobs of a dead child, after all of its messages were read."""
        jobs = list(child.jobs)
        if jobs and child.killed == "lost":
            self._trace(jobs[0], LOST)
            self._tell(jobs[0], LOST)
        elif jobs:
            first, *behind = jobs
            self._settle_death(child, first, self._how(status), now)
            for running in behind:
                self._give_back(running)
        if not child.killed:
            log.warning("a child process died", pid=child.pid, how=describe_exit(status), jobs=len(jobs))
        child.jobs.clear()
        self._info.outdated = True
        self._crew.pool.close(child)

    def _how(self, status: int) -> str:
        """Describe how a child died, including an out-of-memory kill."""
        kills, self._oom_kills = self._oom_kills, oom_kills()
        how = describe_exit(status)
        return "out of memory (killed by the system)" if how == "SIGKILL" and self._oom_kills > kills else how

    def _settle_death(self, child: ChildHandle, running: Running, how: str, now: float) -> None:
        if child.killed == "shutdown":
            self._trace(running, RELEASED)
            self._give_back(running)
            return
        decision = self._decide_on_death(child, running, how)
        self._end(running, decision, child.output.close_job(running.number), running.started, now)

    def _decide_on_death(self, child: ChildHandle, running: Running, how: str) -> Decision:
        settings = self._settings
        if child.killed == "timeout":
            grace = settings.worker_kill_grace
            return on_timeout(running.job, running.timeout, grace, running.max_retries, running.handler)
        if child.killed == "cancel":
            return CANCELLED
        how = "wrote into its control channel" if child.killed == "nonsense" else how
        report = crash_report(child.output.lines(running.number), running.handler)
        return on_crash(running.job, how, report.text, settings.worker_max_crashes, report.place)

    def _end(self, running: Running, decision: Decision, log_lines: bytes, started: float, ended: float) -> None:
        self._trace(running, decision)
        self._tell(running, self._queues[running.queue].settler.settle(running, decision, log_lines, started, ended))

    def _tell(self, running: Running, decision: Decision, told: int = 0) -> None:
        """Have middleware told what no child has told it."""
        if self._events is not None:
            self._events.tell(running, decision, told)

    def _give_back(self, running: Running) -> None:
        self._queues[running.queue].settler.requeue(running)

    def _trace(self, running: Running, decision: Decision) -> None:
        """Create the span of an attempt whose child could not end it."""
        if self._exporter is not None:
            lasted = max(time.monotonic() - running.started, 0.0)
            self._exporter.tell(killed(running.assignment(), decision, lasted))
