"""Decides what happens to a job after an unsuccessful attempt: pure functions, without clock or queue.

Failures, crashes of the child and lost workers are counted separately. So a job that crashes its child becomes a dead
letter after `WORKER_MAX_CRASHES`, regardless of its retries, and an outage uses up no retries.
"""

from typing import Any, Literal, NamedTuple

import msgspec
from gopher.worker.attempt import failures, runs_alone
from gopher.worker.messages import Failed, Usage

from gopher.base.durations import format_duration
from gopher.errors import SoftTimeout
from gopher.jobs.backoff import Backoff, crash_delay
from gopher.jobs.handlers import Handler
from gopher.queue.replies import FetchedJob

#: Retries of jobs of an unknown type, and the delay between them (s): a deploy may be in progress.
NO_HANDLER_ATTEMPTS, NO_HANDLER_DELAY = 10, 10.0
#: Minimum delay (s) after an attempt that is not counted: such a job may run any number of times.
UNCOUNTED_DELAY = 0.1


class Decision(NamedTuple):
    """What to do with a job. `delay` is in seconds; `error` is JSON; `crash` is how the child died; `place` is where
    in the handler's code it failed, e.g. `shop/mail.py:42 send`; `scope` is what is throttled (see RateLimited)."""

    kind: Literal["retry", "dead", "requeue", "throttle", "cancelled"]
    outcome: str
    delay: float = 0.0
    error_type: str = ""
    error: bytes = b""
    crash: str = ""
    place: str = ""
    scope: str = ""


CANCELLED = Decision("cancelled", "cancelled")
#: History outcomes: requeued because the worker stops, and rescued because the worker was lost.
RELEASED, LOST = Decision("requeue", "released"), Decision("requeue", "lost")


def on_failure(
    job: FetchedJob, failed: Failed, handler: Handler | None, *, max_retries: int, timeout: float
) -> Decision:
    """Decide about an attempt that the child has reported as not completed."""
    if failed.kind == "snooze":
        return Decision("requeue", "snoozed", delay=max(failed.after or 0.0, UNCOUNTED_DELAY))
    if failed.kind == "rate_limited":
        throttled = Decision("throttle", "rate_limited", scope=failed.scope)
        return throttled._replace(delay=max(failed.after or 0.0, UNCOUNTED_DELAY))
    if failed.kind == "cancelled":
        return CANCELLED
    outcome, error_type, message = "failed", failed.error_type, failed.message
    if failed.kind == "timeout":
        outcome = "timeout"
        error_type, message = "Timeout", f"ran longer than its timeout of {format_duration(timeout)}"
    permanent = failed.kind == "discard" or (failed.kind == "timeout" and _ends_by_timeout(handler))
    if permanent or failures(job) > max_retries:
        dead = _dead(outcome, error_type, message, failed.traceback, permanent=permanent)
        return dead._replace(place=failed.place)
    delay = failed.after
    if delay is None:
        delay = (handler.backoff if handler else Backoff()).delay(failures(job))
    return _again(outcome, delay, error_type, message, failed.traceback)._replace(place=failed.place)


def on_timeout(
    job: FetchedJob,
    timeout: float,
    grace: float,
    max_retries: int,
    handler: Handler | None,
    stack: str = "",
    place: str = "",
) -> Decision:
    """Decide about an attempt that was killed because it did not react to the exception: `stack` is its last one."""
    message = (
        f"ran longer than its timeout of {format_duration(timeout)}, did not react to the exception for "
        f"{format_duration(grace)}, and was killed"
    )
    permanent = _ends_by_timeout(handler)
    if permanent or failures(job) > max_retries:
        return _dead("timeout", "Timeout", message, stack, permanent=permanent)._replace(place=place)
    delay = (handler.backoff if handler else Backoff()).delay(failures(job))
    return _again("timeout", delay, "Timeout", message, stack)._replace(place=place)


def _ends_by_timeout(handler: Handler | None) -> bool:
    """Return whether the handler declares that a job that was too slow once is so again."""
    return handler is not None and handler.is_final(SoftTimeout)


def on_crash(job: FetchedJob, how: str, output: str, max_crashes: int, place: str = "") -> Decision:
    """Decide for an attempt whose child died: `how` is a signal's name or `exit 0`, `output` what is told of it."""
    deaths = (*job.crashes, how)
    if len(deaths) >= max_crashes:
        times = f"{len(deaths)} times ({', '.join(deaths)})" if len(deaths) > 1 else f"once ({how})"
        message = f"its child process died {times}"
        dead = _dead("crashed", "ChildCrashed", message, output, crash=how, permanent=True)
        return dead._replace(place=place)
    message = f"its child process ended without a result: {how}"
    delay = crash_delay(len(deaths))
    return _again("crashed", delay, "ChildCrashed", message, output, crash=how)._replace(place=place)


def on_out_of_memory(job: FetchedJob, how: str, output: str, max_crashes: int, place: str = "") -> Decision:
    """Decide for an attempt whose child was killed for lack of memory: once more without others beside it."""
    if not runs_alone(job):
        return on_crash(job, how, output, max_crashes, place)
    message = f"it was killed for lack of memory again, with no job beside it: {how}"
    dead = _dead("crashed", "OutOfMemory", message, output, crash=how, permanent=True)
    return dead._replace(place=place)


def on_memory_error(job: FetchedJob, failed: Failed) -> Decision:
    """Decide about an attempt that has found no memory beside others: once more without them. No retry is used up."""
    crash = "MemoryError: out of memory"
    delay = crash_delay(len(job.crashes) + 1)
    again = _again("failed", delay, failed.error_type, failed.message, failed.traceback, crash=crash)
    return again._replace(place=failed.place)


def on_no_handler(job: FetchedJob) -> Decision:
    """Decide about a job of a type without handler in this worker."""
    message = f"no worker that fetched it has a handler for {job.type!r}"
    if job.attempt >= NO_HANDLER_ATTEMPTS:
        return _dead("failed", "NoHandler", message, permanent=True)
    return _again("failed", NO_HANDLER_DELAY, "NoHandler", message)


def on_refused_outcome(reason: str) -> Decision:
    """Decide about an attempt whose outcome the server rejects."""
    message = f"it ran, but its outcome could not be stored: {reason[:500]}"
    return _dead("failed", "OutcomeRefused", message, permanent=True)


def within(decision: Decision, give_up_in: float) -> Decision:
    """Make a job a dead letter if it would be retried later than `give_up_in` seconds from now (`retry_for`)."""
    if decision.kind != "retry" or decision.delay <= give_up_in:
        return decision
    error = msgspec.json.decode(decision.error)
    error["message"] += " (not retried: retry_for has passed)"
    return decision._replace(kind="dead", delay=0.0, error=msgspec.json.encode(error))


def history_row(
    attempt: int,
    decision: Decision,
    worker: str,
    times: tuple[int, int],
    seconds: float,
    usage: Usage | None = None,
    frozen: float = 0.0,
) -> bytes:
    """Return a row of the job's history as JSON; `times` are its start and end in Unix milliseconds. It was frozen for
    `frozen` seconds, which `seconds` do not include."""
    started, ended = times
    row: dict[str, Any] = {
        "attempt": attempt,
        "outcome": decision.outcome,
        "worker": worker,
        "started_at": started,
        "ended_at": ended,
        "duration": round(seconds, 6),
    }
    if decision.error:
        error = msgspec.json.decode(decision.error)
        row["error"] = {"type": error["type"], "message": error["message"][:500]}
    if usage is not None:
        row |= {"cpu_user": round(usage.user, 6), "cpu_system": round(usage.system, 6), "peak_memory": usage.peak}
    if frozen:
        row["frozen"] = round(frozen, 6)
    return msgspec.json.encode(row)


def _error(error_type: str, message: str, traceback: str, permanent: bool) -> bytes:
    return msgspec.json.encode({"type": error_type, "message": message, "traceback": traceback, "permanent": permanent})


def _dead(
    outcome: str, error_type: str, message: str, traceback: str = "", *, crash: str = "", permanent: bool = False
) -> Decision:
    error = _error(error_type, message, traceback, permanent)
    return Decision("dead", outcome, error_type=error_type, error=error, crash=crash)


def _again(
    outcome: str, delay: float, error_type: str, message: str, traceback: str = "", *, crash: str = ""
) -> Decision:
    error = _error(error_type, message, traceback, permanent=False)
    return Decision("retry", outcome, delay, error_type, error, crash)
