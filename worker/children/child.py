"""A child: reads jobs from its channel, runs their handlers one at a time, and reports outcomes.

It has no connection to the queue. Whatever a handler does to this process, the supervisor notices its death, knows what
it was running, and forks another.
"""

import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
from gopher.worker.attempt import PreemptibleJob, job_of
from gopher.worker.job_logs import JobFields
from gopher.worker.messages import (
    Assignment,
    Completed,
    Failed,
    Kind,
    Ready,
    Retiring,
    decode_assignments,
    encode,
)
from setproctitle import setproctitle

from gopher.base.durations import parse_duration
from gopher.base.parent_death import die_with_parent
from gopher.base.salvage import UNREADABLE
from gopher.errors import SCOPES, Cancelled, Discard, InvalidJob, RateLimited, Retry, Snooze, SoftTimeout
from gopher.files.large_payloads import payload_of
from gopher.files.large_results import read_attached
from gopher.hooks.added import attempting as hooks_around_attempts
from gopher.hooks.lifecycle import start_child, stop_child
from gopher.jobs.handlers import Handler
from gopher.jobs.job import Envelope, Job, decode_envelope, set_process_job
from gopher.jobs.registry import Registry
from gopher.server.crashpoints import reached
from gopher.telemetry import logs

from . import failures, interrupt, system
from .capture import mark
from .channel import ChildEnd
from .child_signals import ChildSignals
from .claims import Claims
from .coroutines import Coroutines
from .hooked import Hooked
from .metering import METERED, Meter
from .offspring import prefer_alone_as_oom_victim
from .process_state import ProcessState, report_crashes
from .random_numbers import seed_anew
from .reporter import ChildReporter
from .results import BadResult, encode_result
from .streams import Streams
from .watch import watch

if TYPE_CHECKING:
    from gopher.worker.tracing.attempts import Attempts

#: Jobs shorter than this (s) get no thorough cleanup, which would cost a considerable fraction of their time.
_QUICK = 0.0002


class Child:
    """A child process, from the fork to its end."""

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
        #: The exporter's socket, if tracing is on.
        self._spans = spans
        self._attempts: Attempts | None = None
        self._channel = channel
        self._stop = stop
        self._claims = claims
        self._registry = registry
        self._fields = JobFields()
        #: The assignment that can be interrupted now, 0 between jobs.
        self._current = 0
        self._began = 0.0
        self._coroutines = Coroutines()
        #: None without middleware.
        self._hooked: Hooked | None = None

    def run(self, inherited: Iterable[int], output: int, stacks: int, parent: int) -> None:
        """Prepare the process, then work until the supervisor closes the channel."""
        self._after_fork(inherited, output, stacks, parent)
        # It may have been let go before it was ready.
        with suppress(BrokenPipeError):
            self._take_jobs()
        self._leave()

    def _take_jobs(self) -> None:
        self._channel.send(encode(Ready()))
        while (message := self._channel.receive()) is not None:
            if not self._work(decode_assignments(message)):
                # The others that are given to it are taken back. Until the channel is closed: it leaves when told to.
                while self._channel.receive() is not None:
                    pass
                return

    def _call_start_hooks(self) -> None:
        with self._streams.lent_to(self._process_log):
            try:
                start_child(self._registry.modules)
            except BaseException:
                # What is printed later goes to the log of a job, and there is none.
                logging.getLogger("gopher.worker").exception("on_child_start() has failed")
                raise

    def _leave(self) -> None:
        with self._streams.lent_to(self._process_log):
            for hook, error in stop_child(self._registry.modules):
                logging.getLogger("gopher.worker").error("%s() has failed", hook, exc_info=error)

    def _work(self, assignments: list[Assignment]) -> bool:
        """Run jobs; return False if one of them has changed this process permanently."""
        for given in assignments:
            reached("job.taken")
            if self._claims.begin(given.number):
                outcome = self._attempt(given)
                if outcome.seconds >= METERED:
                    outcome = msgspec.structs.replace(outcome, usage=self._meter.usage(outcome.seconds))
                reached("job.run")
                look = self._restore(thoroughly=outcome.seconds >= _QUICK or given is assignments[-1])
                self._channel.send(encode(outcome))
                reached("outcome.sent")
                if look and (left := self._process_state.left_for_good()):
                    self._channel.send(encode(Retiring(f"{given.job.type}: {left}")))
                    return False
        return True

    def interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """Raise the requested exception in the handler, if it is still running the given assignment."""
        reason = self._stop.reason_for(self._current) if self._current else 0
        if reason:
            self._current = 0
            error = SoftTimeout("the job's timeout has passed") if reason == interrupt.TIMEOUT else Cancelled()
            if not self._coroutines.cancel(error):
                raise error

    def _after_fork(self, inherited: Iterable[int], output: int, stacks: int, parent: int) -> None:
        # First: die with the supervisor, even if it has just died.
        die_with_parent(parent, signal.SIGKILL)
        # Its own process group, so that a kill reaches processes started by the handler, too.
        os.setpgid(0, 0)
        self._signals = ChildSignals(self.interrupted)
        # The supervisor's connections and the other children's pipes: copies would keep them open.
        for descriptor in inherited:
            os.close(descriptor)
        self._process_log = process_log = open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self._streams = Streams(output)
        report_crashes(stacks)
        logs.configure_for_jobs(self._streams.log, process_log, self._fields)
        # Otherwise all children would generate the same numbers.
        seed_anew()
        # When memory runs out, the kernel should kill a child rather than the supervisor.
        prefer_alone_as_oom_victim()
        if self._memory_limit is not None:
            system.limit_memory(self._memory_limit)
        if self._spans is not None:
            from gopher.worker.tracing.sender import in_child

            self._attempts = in_child(self._spans)
        self._pid = os.getpid()
        self._call_start_hooks()
        setproctitle(f"gopher: child of {parent}")
        self._process_state = ProcessState(self._streams, self._signals, stacks)
        self._meter = Meter()
        self._context = self._process_state.context
        if hooks_around_attempts:
            self._hooked = Hooked(tuple(hooks_around_attempts), self._process_state.adopt_threads)

    def _restore(self, *, thoroughly: bool) -> bool:
        if thoroughly and os.getpid() != self._pid:
            # Forked by C code.
            _leave_copy(None)
        if watch.called and not self._channel.is_whole():
            # What is sent now might go into a file of the handler's.
            self._streams.say("the job closed or replaced the file descriptor that connects its child to the worker")
            os._exit(1)
        try:
            return self._process_state.restore(thoroughly=thoroughly)
        except BaseException:  # noqa: BLE001 - what a signal handler raises that the job has left
            return self._process_state.restore(thoroughly=True)

    def _attempt(self, given: Assignment) -> Completed | Failed:
        """Run a job to its end."""
        if given.follows:
            mark(self._streams.output, given.number)
        self._began = began = time.perf_counter()
        if began > self._meter.recent_until:
            self._meter.begin(began)
        handler = self._registry.get(given.job.type)
        try:
            if handler is None:
                raise Discard(f"no handler is registered for {given.job.type!r} here")
            envelope = _envelope_of(given)
            self._fields.set(given, envelope)
            if self._attempts is None:
                result = self._call(given, envelope, handler)
            else:
                with self._attempts.running(given, envelope):
                    result = self._call(given, envelope, handler)
        except BaseException as error:  # noqa: BLE001 - a handler may raise SystemExit or anything else
            self._current = 0
            failed = self._hooked.take_failed() if self._hooked else None
            return failed or self._failure(given.number, error, handler)
        return Completed(given.number, self._seconds(), result)

    def _call(self, given: Assignment, envelope: Envelope, handler: Handler) -> bytes:
        """Return the result of a handler as JSON."""
        reporter = ChildReporter(self._channel, self._stop, given.number, self._streams)
        job = job_of(given, envelope, reporter, PreemptibleJob if handler.preemptible else Job)
        set_process_job(job)
        context = self._context()
        try:
            if given.job.parents:
                read_attached(job, given.job.parents)
            if self._hooked:
                return self._call_hooked(self._hooked, given, envelope, handler, job, context)
            payload = handler.decode(payload_of(job, envelope))
            self._current = given.number
            return _encoded(self._run(handler, job, payload, context), handler, job)
        finally:
            if job.opened is not None:
                job.opened.close()

    def _run(self, handler: Handler, job: Job, payload: object, context: Context) -> object:
        try:
            result = context.run(handler.function, job, payload)
            if type(result) is CoroutineType:
                result = context.run(self._coroutines.run, result, self._leave_if_copy)
            return result
        finally:
            self._current = 0
            if self._signals.in_copy:
                self._leave_if_copy()

    def _call_hooked(
        self, hooked: Hooked, given: Assignment, envelope: Envelope, handler: Handler, job: Job, context: Context
    ) -> bytes:
        """Call a handler within the middleware: the job's timeout, and a cancel, count for all of it."""
        result: object = None
        self._current = given.number

        def run() -> bytes:
            nonlocal result
            payload = handler.decode(payload_of(job, envelope))
            result = self._run(handler, job, payload, context)
            encoded = _encoded(result, handler, job)
            self._current = given.number
            hooked.succeed(result, context)
            return encoded

        try:
            encoded = hooked.begin_and_run(job, context, run)
        except BaseException as error:
            self._current = 0
            failed = self._failure(given.number, error, handler)
            self._current = given.number
            hooked.end_failed(given, handler, error, failed, context)
            raise
        else:
            self._current = given.number
            hooked.end_completed(result, context)
            return encoded
        finally:
            self._current = 0
            if self._signals.in_copy:
                self._leave_if_copy()

    def _leave_if_copy(self) -> None:
        """End this process if a handler has forked it."""
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
            scope=throttled_by(error) if kind == "rate_limited" else "",
        )


def _encoded(result: object, handler: Handler, job: Job) -> bytes:
    return encode_result(result, handler.result, job.attach if handler.attach_result else None)


def _envelope_of(given: Assignment) -> Envelope:
    try:
        return decode_envelope(given.job.envelope)
    except UNREADABLE as error:
        raise Discard(f"its record is corrupt: can't decode the envelope ({error})") from None


#: What handlers raise, what it means, and which of its attributes names the time.
_MEANINGS: tuple[tuple[type[BaseException], Kind, str], ...] = (
    (Retry, "retry", "after"),
    (Snooze, "snooze", "after"),
    (RateLimited, "rate_limited", "retry_after"),
    (SoftTimeout, "timeout", ""),
    (Cancelled, "cancelled", ""),
)


def what_becomes(error: BaseException, handler: Handler | None) -> tuple[Kind, float | None]:
    """Return what an exception means for its job, and the seconds that it names.

    A group whose members mean the same means that, and names the longest time of theirs.
    """
    if isinstance(error, BaseExceptionGroup):
        meanings = [what_becomes(member, handler) for member in failures.members(error)]
        if len({kind for kind, _ in meanings}) > 1:
            return "error", None
        return meanings[0][0], max((after for _, after in meanings if after is not None), default=None)
    for raised, kind, seconds in _MEANINGS:
        if isinstance(error, raised):
            return _named(error, kind, seconds) if seconds else (kind, None)
    is_invalid = isinstance(error, InvalidJob) and error.is_permanent
    if is_invalid or isinstance(error, Discard | BadResult) or (handler and handler.is_final(type(error))):
        return "discard", None
    return "error", None


def _named(error: BaseException, kind: Kind, attribute: str) -> tuple[Kind, float | None]:
    """Return what an exception means that names a time in an attribute: a subclass may have set anything, or nothing.

    Without a time that can be kept, it is an error like any other, and its traceback shows the reason.
    """
    try:
        named: Any = getattr(error, attribute, None)
        return kind, None if named is None and kind == "retry" else parse_duration(named)
    except Exception as wrong:  # noqa: BLE001 - it may be a property
        note = f"(its {attribute} can't be used: {failures.message(wrong)})"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        return "error", None


def throttled_by(error: BaseException) -> str:
    """Return what a RateLimited throttles; of a group, the widest scope of its members."""
    if isinstance(error, BaseExceptionGroup):
        return max(map(throttled_by, failures.members(error)), key=SCOPES.index)
    scope = getattr(error, "scope", "")
    return scope if scope in SCOPES else SCOPES[0]


def _leave_copy(error: BaseException | None) -> NoReturn:
    """Exit a process that a handler has forked and that returned here: the job belongs to the original process."""
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
