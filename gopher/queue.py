"""The moves of a job, one method a verb: each says what it moves and returns the call that does it.

A `Call` is a value. `Server.run` sends one and waits; a worker sends many in one round trip.
Each may be sent again with the same arguments: a repeat changes nothing more.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .job import NewJob
from .keys import QueueKeys
from .scripts import Script, script

#: How often a job may lose its worker before it is taken for the cause (an outage is one loss).
MAX_LOST = 10


class Call(NamedTuple):
    """One call of a script: what to send, and how to read the reply."""

    script: Script
    key: str
    arguments: tuple[Any, ...]
    read: Callable[[Any], Any]

    def command(self) -> tuple[Any, ...]:
        return ("EVALSHA", self.script.sha, 1, self.key, *self.arguments)

    def whole_command(self) -> tuple[Any, ...]:
        """Return the command with the script's source, for a server that does not know it (any more)."""
        return ("EVAL", self.script.source, 1, self.key, *self.arguments)


class FetchedJob(NamedTuple):
    """A job given out with a token; counters are those of this job so far."""

    id: str
    token: str
    type: str
    priority: str
    attempt: int
    #: How its children died, e.g. `("SIGSEGV", "exit 0")`.
    crashes: tuple[str, ...]
    lost: int
    envelope: bytes


class Fetched(NamedTuple):
    """What a fetch brought. `lost` means that the worker's lease was taken away."""

    lost: bool
    now: int
    more: bool
    jobs: list[FetchedJob]


class Heartbeat(NamedTuple):
    """The answer to a heartbeat: whether the lease is gone, and which running jobs to cancel."""

    lost: bool
    now: int
    cancelling: list[str]


class Promoted(NamedTuple):
    """How many jobs went, when the next is due (ms, None: nothing waits for a time), the server's now (ms)."""

    moved: int
    next_due: int | None
    now: int


class Rescued(NamedTuple):
    """What a rescue found. `step` (ms) is set when the server's clock was set; then nobody was rescued."""

    step: int | None
    now: int
    returned: int
    died: int
    workers: list[str]


class Pruned(NamedTuple):
    """How many left the index, where to look from next time, how many dead letters were deleted."""

    finished: int
    place: int
    dead: int


class Completion(NamedTuple):
    """A result on its way into the record; `result` and `log` are JSON, b"" for none, `duration` in ms."""

    job_id: str
    token: str
    duration: float
    result: bytes
    log: bytes


class Failure(NamedTuple):
    """A failed attempt on its way into the record; `error`, `row`, `log` are JSON, `duration` in ms."""

    job_id: str
    token: str
    duration: float
    error: bytes
    row: bytes
    log: bytes
    #: How the child died, e.g. SIGSEGV; "" when it did not.
    crash: str


class Queue:
    """The moves within one queue."""

    def __init__(self, keys: QueueKeys, *, retention: float = 3600.0) -> None:
        self.keys = keys
        self.name = keys.queue
        self._retention = round(retention * 1000)

    def enqueue(self, jobs: Sequence[NewJob]) -> Call:
        """Store new jobs and put them into pending, or scheduled when they are not due (enqueue.lua).

        The reply is a list of bools: whether the job is new (else its id was known).
        """
        arguments: list[Any] = []
        for job in jobs:
            retention = "" if job.retention is None else round(job.retention * 1000)
            arguments += (job.id, job.type, job.priority, job.due, job.expires, retention, job.envelope)
        return self._call("enqueue", arguments, lambda reply: [answer == b"NEW" for answer in reply])

    def fetch(self, worker: str, want: int, number: int, order: str, *, strict: bool) -> Call:
        """Move up to `want` jobs from next and pending into the worker's list (fetch.lua).

        `number` is that of the first token; `order` the letters of the priorities from the
        worker's place in its cycle on. The reply is a `Fetched`.
        """
        arguments = (worker, want, number, order, "1" if strict else "0", self._retention)
        return self._call("fetch", arguments, _read_fetched)

    def complete(self, worker: str, completions: Sequence[Completion]) -> Call:
        """Move jobs from the worker's list to completed, with their results (complete.lua).

        The reply is a list with OK, ALREADY, STALE or MISSING for each.
        """
        arguments: list[Any] = [worker, self._retention]
        for done in completions:
            arguments += (done.job_id, done.token, f"{done.duration:.3f}", done.result, done.log)
        return self._call("complete", arguments, _read_answers)

    def retry(self, worker: str, failure: Failure, delay: float) -> Call:
        """Move a job from the worker's list to retrying, due after `delay` seconds (retry.lua)."""
        arguments = (worker, failure.job_id, failure.token, round(delay * 1000), *_attempt(failure), self._retention)
        return self._call("retry", arguments, _read_answer)

    def dead_letter(self, worker: str, failure: Failure, error_class: str) -> Call:
        """Move a job from the worker's list to failed (dead_letter.lua)."""
        arguments = (worker, failure.job_id, failure.token, error_class, *_attempt(failure))
        return self._call("dead_letter", arguments, _read_answer)

    def requeue(self, worker: str, job_id: str, token: str, delay: float = 0.0) -> Call:
        """Move a job back to the head of pending, or to scheduled, its attempt not counted (requeue.lua)."""
        return self._call("requeue", (worker, job_id, token, round(delay * 1000), self._retention), _read_answer)

    def cancelled(self, worker: str, job_id: str, token: str, row: bytes, log: bytes) -> Call:
        """Move a job whose child was stopped from the worker's list to cancelled (cancelled.lua)."""
        return self._call("cancelled", (worker, job_id, token, row, log, self._retention), _read_answer)

    def cancel(self, job_id: str) -> Call:
        """Move a waiting job to cancelled, or mark a running one (cancel.lua).

        The reply is CANCELLED, CANCELLING, MISSING, or the state that the job had ended in.
        """
        return self._call("cancel", (job_id, self._retention), _read_answer)

    def report(self, reports: Sequence[tuple[str, str, bytes, bytes]]) -> Call:
        """Store progress and log (JSON, b"" for none) of running jobs: (id, token, progress, log) (report.lua)."""
        return self._call("report", [value for report in reports for value in report], _read_answers)

    def heartbeat(self, worker: str, lease: float, *, first: bool = False) -> Call:
        """Extend a worker's lease to `lease` seconds from now (heartbeat.lua). The reply is a `Heartbeat`."""
        arguments = (worker, round(lease * 1000), "1" if first else "0")
        return self._call("heartbeat", arguments, _read_heartbeat)

    def resign(self, worker: str) -> Call:
        """Give the lease of a leaving worker back, unless it still holds jobs (resign.lua)."""
        return self._call("resign", (worker,), _read_answer)

    def promote(self, limit: int = 100) -> Call:
        """Move due jobs from scheduled and retrying to pending (promote.lua). The reply is a `Promoted`."""
        return self._call("promote", (limit,), _read_promoted)

    def rescue(self, last_now: int | None, elapsed: float, limit: int = 100) -> Call:
        """Move the jobs of lost workers to the head of pending (rescue.lua). The reply is a `Rescued`.

        `last_now` is the server's now (ms) at the caller's last look, `elapsed` the seconds since
        then by its own steady clock: together they tell a clock that was set from time that passed.
        """
        since = ("", "") if last_now is None else (last_now, round(elapsed * 1000))
        return self._call("rescue", (limit, MAX_LOST, self._retention, *since), _read_rescued)

    def redrive(self, job_ids: Sequence[str]) -> Call:
        """Move dead jobs from failed to pending, with fresh attempts (redrive.lua). The reply is a count."""
        return self._call("redrive", job_ids, int)

    def discard(self, job_ids: Sequence[str]) -> Call:
        """Delete dead jobs (discard.lua). The reply is a count."""
        return self._call("discard", job_ids, int)

    def purge(self, state: str, limit: int = 1000) -> Call:
        """Delete up to `limit` jobs that are pending, scheduled, retrying or failed (purge.lua)."""
        return self._call("purge", (state, limit), int)

    def prune(self, place: int, dead_ttl: float, dead_max: int, limit: int = 1000) -> Call:
        """Let go of old records (prune.lua). The reply is a `Pruned`."""
        arguments = (limit, place, round(dead_ttl * 1000), dead_max)
        return self._call("prune", arguments, lambda reply: Pruned(*map(int, reply)))

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        return Call(script(verb), self.keys.prefix, tuple(arguments), read)


def _attempt(failure: Failure) -> tuple[Any, ...]:
    return (failure.crash, f"{failure.duration:.3f}", failure.error, failure.row, failure.log)


def _names(joined: bytes) -> tuple[str, ...]:
    return tuple(joined.decode().split(",")) if joined else ()


def _read_answer(reply: bytes) -> str:
    return reply.decode()


def _read_answers(reply: list[bytes]) -> list[str]:
    return [answer.decode() for answer in reply]


def _read_fetched(reply: list[Any]) -> Fetched:
    if reply[0] == b"LOST":
        return Fetched(True, 0, False, [])
    jobs = [
        FetchedJob(
            id.decode(),
            token.decode(),
            type_.decode(),
            priority.decode(),
            int(attempt),
            _names(crashes),
            int(lost),
            envelope,
        )
        for id, token, type_, priority, attempt, crashes, lost, envelope in reply[3:]  # noqa: A001
    ]
    return Fetched(False, int(reply[1]), bool(reply[2]), jobs)


def _read_heartbeat(reply: list[Any]) -> Heartbeat:
    if reply[0] == b"LOST":
        return Heartbeat(True, 0, [])
    return Heartbeat(False, int(reply[1]), [job_id.decode() for job_id in reply[2:]])


def _read_promoted(reply: list[Any]) -> Promoted:
    return Promoted(int(reply[0]), int(reply[1]) if reply[1] != b"" else None, int(reply[2]))


def _read_rescued(reply: list[Any]) -> Rescued:
    if reply[0] == b"STEP":
        return Rescued(int(reply[1]), 0, 0, 0, [])
    return Rescued(None, int(reply[1]), int(reply[2]), int(reply[3]), [worker.decode() for worker in reply[4:]])
