"""Middleware told of what no child could tell it: attempts whose child died, or was killed.

The supervisor runs no user code: it forks a process that tells of what has come together, one at a time. A hook that
hangs holds up nothing but the others of its kind, and for `PATIENCE` at most: then the process is killed.
"""

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from setproctitle import setproctitle

from gopher.base.parent_death import die_with_parent
from gopher.hooks import added
from gopher.hooks.attempts import tell
from gopher.hooks.middleware import Outcome
from gopher.jobs.job import Reporter, read_envelope
from gopher.telemetry.logs import get_logger

from .attempt import job_of
from .children import system
from .children.fork import fork
from .messages import Assignment
from .queue_side.decisions import Decision
from .running import Running

log = get_logger("worker")

#: Seconds that the hooks may take for one event, and those of all that is left at the end of the worker.
PATIENCE, LAST = 10.0, 5.0
#: Maximum number of waiting events; further ones are counted and dropped.
KEPT = 1000
_RETRY = 1.0


class Event(NamedTuple):
    """An attempt that has failed, and whether middleware has heard that already, but not that it was the last."""

    given: Assignment
    decision: Decision
    heard_failure: bool


class Events:
    """Keeps events until they are told."""

    def __init__(self, inherited: Callable[[], Iterable[int]]) -> None:
        self._inherited = inherited
        self._waiting: deque[Event] = deque()
        #: What the process tells of now, 0 and nothing without one.
        self._pid = 0
        self._telling: deque[Event] = deque()
        #: By which it says that it has told of one.
        self._reader = -1
        self._kill_at = self._start_at = 0.0
        self._left_out = 0

    def tell(self, running: Running, decision: Decision, told: int = 0) -> None:
        """Have middleware told of an attempt, unless it was: `told` as in `Failed`."""
        dead = decision.kind == "dead"
        if told > dead or not (dead or decision.kind == "retry" or decision.outcome == "lost"):
            return
        if len(self._waiting) >= KEPT:
            self._left_out += 1
            return
        self._waiting.append(Event(running.assignment(), decision, told == 1))

    def maintain(self, now: float) -> None:
        """Start a process when there is something to tell; end one whose hooks hang."""
        if self._pid:
            self._note_progress(now)
            if now >= self._kill_at:
                self._kill()
        elif self._waiting and now >= self._start_at:
            self._start(now)

    def reaped(self, pid: int) -> None:
        """Note that a process has ended."""
        if pid == self._pid:
            self._note_progress(time.monotonic())
            if self._telling:
                # Killed, or ended by the hook itself: the others are told by the next one.
                lost = self._telling.popleft()
                log.error("a middleware hook did not finish", job_id=lost.given.job.id)
                self._waiting.extendleft(reversed(self._telling))
            os.close(self._reader)
            self._pid, self._reader = 0, -1
            self._telling.clear()

    def stop(self) -> None:
        """Wait until all is told, for a few seconds at most. No child may be left."""
        until = time.monotonic() + LAST
        while (self._pid or self._waiting) and time.monotonic() < until:
            self.maintain(time.monotonic())
            if self._pid and _has_ended(self._pid):
                self.reaped(self._pid)
            else:
                time.sleep(0.005)
        left = len(self._waiting) + len(self._telling) + self._left_out
        if self._pid:
            self._kill()
        if left:
            log.error("some failures were not reported to middleware", events=left)

    def _start(self, now: float) -> None:
        if self._left_out:
            log.error("too many failures to report to middleware", left_out=self._left_out)
            self._left_out = 0
        try:
            self._pid, self._reader = self._fork(list(self._waiting))
        except OSError as error:
            self._start_at = now + _RETRY
            log.error("can't fork the process that reports failures to middleware", error=str(error))
            return
        self._kill_at = now + PATIENCE
        self._telling, self._waiting = self._waiting, deque()

    def _fork(self, telling: list[Event]) -> tuple[int, int]:
        """Return the pid of the process, and the end of the pipe by which it reports. Raises OSError."""
        parent = os.getpid()
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            return fork(lambda: _run(telling, writer, [*self._inherited(), reader], parent)), reader
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def _note_progress(self, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in os.read(self._reader, KEPT):
                self._telling.popleft()
                self._kill_at = now + PATIENCE

    def _kill(self) -> None:
        self._kill_at = float("inf")
        log.error("middleware hung and was killed", seconds=PATIENCE)
        # In a group of its own, as children are, with what the hooks have started.
        system.kill_group(self._pid)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _run(events: list[Event], writer: int, inherited: Iterable[int], parent: int) -> None:
    """Be the process that tells of events."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    # On some platforms all processes are told to end: what is told now is told to its end.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for descriptor in inherited:
        os.close(descriptor)
    die_with_parent(parent, signal.SIGKILL)
    setproctitle(f"gopher: middleware of {parent}")
    for event in events:
        _tell(event)
        os.write(writer, b".")


def _tell(event: Event) -> None:
    decision = event.decision
    error = msgspec.json.decode(decision.error) if decision.error else {}
    outcome = Outcome(
        kind=decision.outcome,  # type: ignore[arg-type]
        error_type=decision.error_type or decision.outcome.capitalize(),
        message=error.get("message", "the worker has lost its lease, and the job was given to another one"),
        traceback=error.get("traceback", ""),
        place=decision.place,
        dead=decision.kind == "dead",
    )
    job = job_of(event.given, read_envelope(event.given.job.envelope), Reporter())
    for hooked in reversed(added.failing):
        tell(hooked, job, outcome, heard_failure=event.heard_failure)
