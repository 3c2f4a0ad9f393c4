"""The moves of a job, one method per script, each of which returns a call.

A `Call` is a value. `Server.run` sends one and waits; a worker sends many in one round trip. Calls can be sent again
with the same arguments: scripts are idempotent.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher.jobs.job import NewJob
from gopher.server.calls import Call, LateCall, written

from .keys import QueueKeys
from .replies import (
    read_answer,
    read_answers,
    read_evicted,
    read_fetched,
    read_groups,
    read_heartbeat,
    read_one_enqueued,
    read_promoted,
    read_pruned,
    read_purged,
    read_reclaimed,
    read_rescued,
    read_sampled,
    read_tick,
    read_ticks,
    reader_of_answers,
    reader_of_enqueued,
)
from .scripts import script
from .survey import read_forgotten, read_survey

#: Samples for plots over time: interval in ms, and number. Slightly more than an hour, a day and a month.
SERIES = ((10_000, 370), (300_000, 300), (3_600_000, 750))
#: How often a job may lose its worker before it is considered the cause (an outage is one loss).
MAX_LOST = 10


class Request(NamedTuple):
    """An idempotent request: digests of the key and of the request, and the data to repeat the first response."""

    key: str
    digest: str
    answer: str


class Completion(msgspec.Struct, frozen=True):
    """A result to be stored; `result` and `log` are JSON, b"" for none, `duration` in ms."""

    job_id: str
    token: str
    duration: float
    result: bytes
    log: bytes


class Failure(NamedTuple):
    """A failed attempt to be stored; `error`, `row`, `log` are JSON, `duration` in ms."""

    job_id: str
    token: str
    duration: float
    error: bytes
    row: bytes
    log: bytes
    #: How the child died, e.g. SIGSEGV; "" if it did not.
    crash: str


_NO_REQUEST = Request("", "", "")
#: Milliseconds for which a request with an idempotency key is stored.
_REPEATABLE_FOR = str(24 * 3600 * 1000)


class Queue:
    """The moves within one queue."""

    def __init__(self, keys: QueueKeys, *, retention: float = 3600.0) -> None:
        self.keys = keys
        self.name = keys.queue
        self._retention = round(retention * 1000)

    def enqueue(self, jobs: Sequence[NewJob], request: Request = _NO_REQUEST) -> Call:
        """Store new jobs in pending, or in scheduled if they are not due (enqueue.lua).

        All or none are stored. The reply is an `Enqueued`.
        """
        if len(jobs) == 1 and jobs[0].is_plain and request is _NO_REQUEST:
            job = jobs[0]
            return self._make("enqueue", (job.id, job.type, job.priority, job.envelope), read_one_enqueued)
        values: list[str] = []
        for job in jobs:
            values += (job.id, job.type, job.priority, "" if job.is_plain else _special(job))
        arguments = (*request, _REPEATABLE_FOR, _pack(values), *[job.envelope for job in jobs])
        return self._make("enqueue", arguments, reader_of_enqueued(len(jobs)))

    def fetch(
        self,
        worker: str,
        want: int,
        number: int,
        order: str,
        *,
        strict: bool,
        with_prelude: bool = False,
        behind_pop: bool = False,
        lost_pops: Iterable[int] = (),
    ) -> Call:
        """Move up to `want` jobs from next and pending into the worker's list (fetch.lua).

        `number` is that of the first token; `order` has the letters of the priorities whose turns come next, for one
        cycle. Fetches behind a blocking pop have numbers of their own, b1, b2, ...; `lost_pops` are those whose replies
        never came. The reply is a `Fetched`.
        """
        arguments = (
            worker,
            want,
            number,
            order,
            "1" if strict else "0",
            self._retention,
            "1" if with_prelude else "",
            "1" if behind_pop else "",
            ",".join(map(str, lost_pops)),
        )
        return self._call("fetch", arguments, read_fetched)

    def complete(self, worker: str, completions: Sequence[Completion]) -> Call:
        """Move jobs from the worker's list to completed, with their results (complete.lua).

        The reply is a list with OK, ALREADY, STALE or MISSING for each.
        """
        rows = list(map(_completed, completions))
        return self._call("complete", (worker, self._retention, _pack(rows)), reader_of_answers(len(rows)))

    def retry(self, worker: str, failure: Failure, delay: float) -> Call:
        """Move a job from the worker's list to retrying, due after `delay` seconds (retry.lua)."""
        arguments = (worker, failure.job_id, failure.token, round(delay * 1000), *_attempt(failure), self._retention)
        return self._call("retry", arguments, read_answer)

    def dead_letter(self, worker: str, failure: Failure, error_class: str, place: str = "") -> Call:
        """Move a job from the worker's list to failed (dead_letter.lua).

        `place` is where in the handler's code it failed, e.g. `shop/mail.py:42 send`, for failure groups.
        """
        arguments = (worker, failure.job_id, failure.token, error_class, *_attempt(failure), place)
        return self._call("dead_letter", arguments, read_answer)

    def requeue(self, worker: str, job_id: str, token: str, delay: float = 0.0) -> Call:
        """Move a job back to the head of pending, or to scheduled, without counting its attempt (requeue.lua)."""
        return self._call("requeue", (worker, job_id, token, round(delay * 1000), self._retention), read_answer)

    def throttle(self, worker: str, job_id: str, token: str, delay: float) -> Call:
        """Give a job back and hold its type back for `delay` seconds; no attempt is counted (throttle.lua)."""
        arguments = (worker, job_id, token, round(delay * 1000), self._retention)
        return self._call("throttle", arguments, read_answer)

    def cancelled(self, worker: str, job_id: str, token: str, row: bytes, log: bytes) -> Call:
        """Move a job whose child was stopped from the worker's list to cancelled (cancelled.lua)."""
        return self._call("cancelled", (worker, job_id, token, row, log, self._retention), read_answer)

    def cancel(self, job_id: str) -> Call:
        """Move a waiting job to cancelled, or mark a running one (cancel.lua).

        The reply is CANCELLED, CANCELLING, MISSING, or the final state of the job.
        """
        return self._call("cancel", (job_id, self._retention), read_answer)

    def report(self, reports: Sequence[tuple[str, str, bytes, bytes]]) -> Call:
        """Store progress and log (JSON, b"" for none) of running jobs: (id, token, progress, log) (report.lua)."""
        return self._call("report", [value for report in reports for value in report], read_answers)

    def heartbeat(self, worker: str, lease: float, *, first: bool = False) -> Call:
        """Extend a worker's lease to `lease` seconds from now (heartbeat.lua). The reply is a `Heartbeat`."""
        arguments = (worker, round(lease * 1000), "1" if first else "0")
        return self._call("heartbeat", arguments, read_heartbeat)

    def reclaim(
        self,
        worker: str,
        held: Iterable[str],
        number: int,
        blocking_pop: int,
        lost_pops: Iterable[int] = (),
        limit: int = 100,
    ) -> Call:
        """Requeue the jobs in the worker's list that it does not hold (reclaim.lua). The reply is a `Reclaimed`.

        `held` are the tokens of the jobs that it holds. Replies to fetches from `number` on, and after blocking pops
        from `blocking_pop` on, may still arrive; a fetch returns jobs of `lost_pops`.
        """
        pops = ",".join(map(str, lost_pops))
        return self._call(
            "reclaim", (worker, limit, MAX_LOST, self._retention, number, blocking_pop, pops, *held), read_reclaimed
        )

    def resign(self, worker: str) -> Call:
        """Give up the lease of a stopping worker, unless it still holds jobs (resign.lua)."""
        return self._call("resign", (worker,), read_answer)

    def promote(self, limit: int = 100) -> Call:
        """Move due jobs from scheduled and retrying to pending (promote.lua). The reply is a `Promoted`."""
        return self._call("promote", (limit,), read_promoted)

    def rescue(
        self, last_now: int | None, elapsed: float | Callable[[], float], limit: int | Callable[[], int] = 100
    ) -> Call:
        """Move the jobs of lost workers to the head of pending (rescue.lua). The reply is a `Rescued`.

        `last_now` is the server's now (ms) in the reply to the caller's last call, `elapsed` the seconds since that
        by the caller's own steady clock: together they tell a clock that was set from time that passed. A call that may
        wait until the server can be reached takes functions, which are called when it is sent.
        """

        def since() -> int:
            return round((elapsed() if callable(elapsed) else elapsed) * 1000)

        last: tuple[Any, ...] = ("", "") if last_now is None else (last_now, since)
        return LateCall(*self._call("rescue", (limit, MAX_LOST, self._retention, *last), read_rescued))

    def redrive(self, job_ids: Sequence[str]) -> Call:
        """Move dead letters from failed to pending, with a new set of attempts (redrive.lua). The reply is a count."""
        return self._call("redrive", job_ids, int)

    def start_redrive(
        self,
        redrive_id: str,
        groups: Sequence[str],
        *,
        canary: int = 0,
        rate: float | None = None,
        limit: int | None = None,
        asked: bytes = b"{}",
    ) -> Call:
        """Start a gradual redrive of dead letters, of some groups or all (start_redrive.lua).

        `canary` jobs are retried first, the rest once those have completed, `rate` per second. The reply is the total.
        """
        arguments = (redrive_id, ",".join(groups), canary, _text(rate), _text(limit), asked)
        return self._call("start_redrive", arguments, int)

    def continue_redrives(self, limit: int = 100) -> Call:
        """Continue gradual redrives (continue_redrives.lua). The reply is a `Promoted`."""
        return self._call("continue_redrives", (limit, self._retention), read_promoted)

    def stop_redrive(self, redrive_id: str) -> Call:
        """Stop a gradual redrive (stop_redrive.lua). The reply is STOPPED, MISSING or how it had ended."""
        return self._call("stop_redrive", (redrive_id,), read_answer)

    def discard(self, job_ids: Sequence[str]) -> Call:
        """Delete dead letters (discard.lua). The reply is a count."""
        return self._call("discard", job_ids, int)

    def purge(self, state: str, limit: int = 1000, began: int | None = None) -> Call:
        """Delete up to `limit` jobs that are pending, scheduled, retrying or failed (purge.lua).

        The reply is a `Purged`; further calls are given its `began`, so that they leave jobs that came meanwhile.
        """
        arguments = (state, limit, "" if began is None else began)
        return self._call("purge", arguments, read_purged)

    def set_limit(
        self,
        job_type: str,
        rate: float | None,
        burst: float | None,
        concurrency: int | None,
        *,
        origin: str = "api",
    ) -> Call:
        """Set the rate and the concurrency of a type (set_limit.lua). The reply is SET or KEPT."""
        arguments = (job_type, _text(rate), _text(burst), _text(concurrency), origin)
        return self._call("set_limit", arguments, read_answer)

    def pause(self, job_type: str = "") -> Call:
        """Pause a type, or the queue (pause.lua). The reply is whether it was not paused before."""
        return self._call("pause", (job_type,), bool)

    def resume(self, job_type: str = "") -> Call:
        """Resume a type, or the queue (resume.lua). The reply is whether it was paused."""
        return self._call("resume", (job_type,), bool)

    def set_schedule(self, name: str, definition: bytes, next_time: int | None) -> Call:
        """Create or replace a schedule (set_schedule.lua). The reply is CREATED, REPLACED or UNCHANGED."""
        return self._call("set_schedule", (name, definition, _text(next_time)), read_answer)

    def delete_schedule(self, name: str | bytes) -> Call:
        """Delete a schedule (delete_schedule.lua). The reply: whether it existed."""
        return self._call("delete_schedule", (name,), bool)

    def due_ticks(self, limit: int = 100) -> Call:
        """Read which schedules are due (due_ticks.lua). The reply is a `Ticks`."""
        return self._call("due_ticks", (limit,), read_ticks)

    def tick(
        self,
        name: str,
        definition: bytes,
        expected: int | bytes,
        next_time: int | None,
        jobs: Sequence[NewJob],
        *,
        skip_overlap: bool = False,
    ) -> Call:
        """Fire a schedule and advance its next time (tick.lua). The reply is FIRED, SKIPPED or MOVED."""
        arguments: list[Any] = [name, definition, expected, _text(next_time), "1" if skip_overlap else "0"]
        for job in jobs:
            arguments += (job.id, job.type, job.priority, _ms(job.retention), job.expires.lstrip("+"), job.envelope)
            arguments.append(job.limit_key)
        return self._call("tick", arguments, read_tick)

    def read_fields(self, job_ids: Sequence[str], fields: Sequence[str]) -> Call:
        """Read fields of records (read_fields.lua). The reply is a list with the values, or None, for each."""
        size = len(fields)

        def rows(values: list[bytes | None]) -> list[list[bytes | None]]:
            return [values[at : at + size] for at in range(0, len(values), size)]

        return self._call("read_fields", (size, *fields, *job_ids), rows)

    def bisect(self, place: str, time: int) -> Call:
        """Find the first job in a pending list that has waited since `time` (ms) or longer (bisect.lua). An index."""
        return self._call("bisect", (place, time), int)

    def read_groups(self, limit: int) -> Call:
        """Read the groups of dead letters (read_groups.lua). The reply is a list of `GroupRow`."""
        return self._call("read_groups", (limit,), read_groups)

    def prune(self, place: int, dead_ttl: float, dead_max: int, limit: int = 1000) -> Call:
        """Remove old records (prune.lua). The reply is a `Pruned`."""
        arguments = (limit, place, round(dead_ttl * 1000), dead_max)
        return self._call("prune", arguments, read_pruned)

    def evict(self, limit: int, place: int, until: int, keep_for: float) -> Call:
        """Evict up to `limit` records, oldest first, of jobs that ended until `until` (ms) (evict.lua).

        Those that ended within the last `keep_for` seconds are kept. The reply is an `Evicted`.
        """
        arguments = (limit, place, until, round(keep_for * 1000))
        return self._call("evict", arguments, read_evicted)

    def sample(self) -> Call:
        """Note the values of the counters, if it is time to (sample.lua). The reply is a `Sampled`."""
        arguments = [number for series in SERIES for number in series]
        return self._call("sample", arguments, read_sampled)

    def survey(self) -> Call:
        """Read what the queue holds (survey.lua). The reply is a `Survey`."""
        return self._call("survey", (), read_survey)

    def forget(self) -> Call:
        """Delete what is left of an empty queue (forget.lua). The reply is its counters, or None."""
        return self._call("forget", [step for step, _ in SERIES], read_forgotten)

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        return self._make(verb, [written(argument) for argument in arguments], read)

    def _make(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        return Call(script(verb), self.keys.prefix, tuple(arguments), read)


_pack = msgspec.msgpack.Encoder().encode


def _as_text(data: bytes) -> str:
    """Decode JSON to text, since the server's MessagePack has no other strings. Invalid text must not fail the call."""
    return data.decode(errors="replace")


def _completed(done: Completion) -> tuple[str | bool, ...]:
    """Return the arguments of complete.lua for a job, without empty ones."""
    row = (done.job_id, done.token, f"{done.duration:.3f}")
    if done.log:
        return (*row, _as_text(done.result) if done.result else False, _as_text(done.log))
    return (*row, _as_text(done.result)) if done.result else row


def _special(job: NewJob) -> str:
    """Return the rare fields of jobs for enqueue.lua, one per line, since names and keys contain no line breaks."""
    unique = (job.unique_name, str(_ms(job.unique_for)))
    parents = (",".join(job.after), job.on_parent_failure)
    return "\n".join((job.due, job.expires, str(_ms(job.retention)), *unique, job.limit_key, *parents))


def _ms(seconds: float | None) -> int | str:
    return "" if seconds is None else round(seconds * 1000)


def _text(value: float | None) -> str:
    return "" if value is None else repr(value)


def _attempt(failure: Failure) -> tuple[Any, ...]:
    return (failure.crash, f"{failure.duration:.3f}", failure.error, failure.row, failure.log)
