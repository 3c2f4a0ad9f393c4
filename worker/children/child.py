"""A child: takes jobs from its channel, one at a time, runs their handlers, says how they ended.

It has nothing of the queue in it. Whatever a handler does to this process, the supervisor sees it die,
knows what it ran, and forks another.
"""

import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import msgspec
from gopher.worker.job_logs import JobFields
from gopher.worker.messages import Assignment, Completed, Failed, Kind, Progress, Ready, decode_assignments, encode
from setproctitle import setproctitle

from gopher.base.parent_death import die_with_parent
from gopher.base.salvage import UNREADABLE
from gopher.errors import Cancelled, Discard, InvalidJob, RateLimited, Retry, Snooze, SoftTimeout
from gopher.jobs.handlers import Handler, Registry
from gopher.jobs.job import NO_METADATA, Envelope, Job, Reporter, decode_envelope, set_process_job
from gopher.server.crashpoints import reached
from gopher.telemetry import logs
from gopher.telemetry.trace_context import trace_id

from . import failures, interrupt, system
from .capture import mark
from .channel import ChildEnd
from .child_signals import ChildSignals
from .claims import Claims
from .process_state import ProcessState, report_crashes
from .results import BadResult, encode_result
from .streams import Streams

if TYPE_CHECKING:
    from gopher.worker.tracing.attempts import Attempts

#: Seconds between two reports of a job's progress.
_PROGRESS_PERIOD = 0.1
#: Seconds of a job so short that to look after it thoroughly would take a share of it that counts.
_QUICK = 0.0002


class Child:
    """One child process, from the fork to its end."""

    def __init__(
        self,
        channel: ChildEnd,
        stop: interrupt.Interrupt,
        claims: Claims,
        registry: Registry,
        memory_limit: int | None = None,
        spans: socket.socket | None = None,
    ) -> None:
        self._memory_limit = memory_limit
        #: Where spans go, when tracing is on.
        self._spans = spans
        self._attempts: Attempts | None = None
        self._channel = channel
        self._stop = stop
        self._claims = claims
        self._registry = registry
        self._fields = JobFields()
        #: The assignment that may be interrupted now, 0 between jobs.
        self._current = 0
        self._began = 0.0

    def run(self, inherited: Iterable[int], output: int, parent: int) -> None:
        """Prepare the process, then work until the supervisor closes the channel."""
        self._after_fork(inherited, output, parent)
        self._channel.send(encode(Ready()))
        while (message := self._channel.receive()) is not None:
            assignments = decode_assignments(message)
            for given in assignments:
                reached("job.taken")
                if self._claims.begin(given.number):
                    outcome = self._attempt(given)
                    reached("job.run")
                    self._restore(thoroughly=outcome.seconds >= _QUICK or given is assignments[-1])
                    self._channel.send(encode(outcome))
                    reached("outcome.sent")

    def interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """Raise in the handler what the supervisor asks for, if it still runs what is meant."""
        reason = self._stop.reason_for(self._current) if self._current else 0
        if reason:
            self._current = 0
            raise SoftTimeout("the job's timeout has passed") if reason == interrupt.TIMEOUT else Cancelled

    def _after_fork(self, inherited: Iterable[int], output: int, parent: int) -> None:
        # First of all: die when the supervisor does, also when it died just now.
        die_with_parent(parent, signal.SIGKILL)
        # A group of its own, so that one kill reaches what the handler has started too.
        os.setpgid(0, 0)
        self._signals = ChildSignals(self.interrupted)
        # The supervisor's connections and the other children's pipes: a copy here would keep them open.
        for descriptor in inherited:
            os.close(descriptor)
        process_log = open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self._streams = Streams(output)
        report_crashes()
        logs.configure_for_jobs(self._streams.log, process_log, self._fields)
        # Every child would draw the same numbers.
        random.seed()
        # When memory runs out, the kernel shall take a child and never the supervisor.
        system.prefer_as_oom_victim()
        if self._memory_limit is not None:
            system.limit_memory(self._memory_limit)
        if self._spans is not None:
            from gopher.worker.tracing.sender import in_child

            self._attempts = in_child(self._spans)
        self._pid = os.getpid()
        setproctitle(f"gopher: child of {parent}")
        self._process_state = ProcessState(self._streams, self._signals)

    def _restore(self, *, thoroughly: bool) -> None:
        if thoroughly and os.getpid() != self._pid:
            # Forked by C code.
            _leave_copy(None)
        try:
            self._process_state.restore(thoroughly=thoroughly)
        except BaseException:  # noqa: BLE001 - what a signal handler raises that the job has left
            self._process_state.restore(thoroughly=True)

    def _attempt(self, given: Assignment) -> Completed | Failed:
        """Run one job to its end, whatever that is."""
        if given.follows:
            mark(self._streams.output, given.number)
        self._began = time.perf_counter()
        handler = self._registry.get(given.job.type)
        try:
            if handler is None:
                raise Discard(f"no handler is registered for {given.job.type!r} here")
            envelope = _envelope_of(given)
            self._fields.set(given, envelope)
            if self._attempts is None:
                result = encode_result(self._call(given, envelope, handler))
            else:
                with self._attempts.running(given, envelope):
                    result = encode_result(self._call(given, envelope, handler))
        except BaseException as error:  # noqa: BLE001 - a handler may raise SystemExit or anything else
            self._current = 0
            return self._failure(given.number, error, handler)
        return Completed(given.number, self._seconds(), result)

    def _call(self, given: Assignment, envelope: Envelope, handler: Handler) -> object:
        payload = handler.decode(envelope.payload)
        fetched = given.job
        job = Job(
            id=fetched.id,
            type=fetched.type,
            queue=given.queue,
            priority=fetched.priority,
            attempt=fetched.attempt,
            max_retries=given.max_retries,
            metadata={} if envelope.metadata is NO_METADATA else msgspec.json.decode(envelope.metadata),
            deadline=time.time() + given.timeout,
            parents=_decoded(fetched.parents) if fetched.parents else {},
            trace_id=trace_id(envelope.trace) if envelope.trace else "",
            owner=envelope.owner,
            reporter=ChildReporter(self._channel, self._stop, given.number, self._streams.log),
        )
        set_process_job(job)
        self._current = given.number
        try:
            return handler.function(job, payload)
        finally:
            self._current = 0
            if self._signals.in_copy:
                _leave_copy(sys.exception())

    def _message(self, error: BaseException) -> str:
        if isinstance(error, MemoryError) and self._memory_limit is not None:
            return f"out of memory (limit {self._memory_limit // 2**20} MiB)"
        return failures.message(error)

    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _failure(self, number: int, error: BaseException, handler: Handler | None) -> Failed:
        kind, after = what_becomes(error, handler)
        return Failed(
            number=number,
            seconds=self._seconds(),
            kind=kind,
            error_type=error.error_type if isinstance(error, BadResult) else failures.error_type(error),
            message=self._message(error),
            traceback=failures.trace(error) if kind in ("error", "timeout") else "",
            after=after,
            place=failures.place(error, handler.function.__module__) if handler else "",
        )


def _envelope_of(given: Assignment) -> Envelope:
    try:
        return decode_envelope(given.job.envelope)
    except UNREADABLE as error:
        raise Discard(f"its record is corrupt: the envelope can't be read ({error})") from None


def _decoded(parents: dict[str, bytes]) -> dict[str, Any]:
    return {parent: msgspec.json.decode(result or b"null") for parent, result in parents.items()}


def what_becomes(error: BaseException, handler: Handler | None) -> tuple[Kind, float | None]:
    """Return what an exception means for its job, and the seconds that it names."""
    if isinstance(error, Retry):
        return "retry", error.after
    if isinstance(error, Snooze):
        return "snooze", error.after
    if isinstance(error, RateLimited):
        return "rate_limited", error.retry_after
    if isinstance(error, SoftTimeout):
        return "timeout", None
    if isinstance(error, Cancelled):
        return "cancelled", None
    permanent = handler.permanent if handler else ()
    if isinstance(error, (Discard, InvalidJob, BadResult, *permanent)):
        return "discard", None
    return "error", None


class ChildReporter(Reporter):
    """Sends what a handler reports to the supervisor."""

    def __init__(self, channel: ChildEnd, stop: interrupt.Interrupt, number: int, log: TextIO) -> None:
        self._log = log
        self._channel = channel
        self._stop = stop
        self._number = number
        self._next_report = 0.0

    def progress(self, fraction: float, message: str) -> None:
        now = time.monotonic()
        if now >= self._next_report or fraction >= 1:
            self._next_report = now + _PROGRESS_PERIOD
            self._channel.send(encode(Progress(self._number, fraction, failures.cut(message, 200))))

    def log(self, line: str) -> None:
        self._log.write(line + "\n")

    def cancelled(self) -> bool:
        return self._stop.reason_for(self._number) == interrupt.CANCEL


def _leave_copy(error: BaseException | None) -> NoReturn:
    """End a process that a handler has forked and not ended: its job is the business of the one that forked it."""
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        elif error is not None:
            code = 1
            traceback.print_exception(error)
        sys.stdout.flush()
    finally:
        os._exit(code)
