"""The moves of a job, one method per script, each of which returns a call.

A `Call` is a value. `Server.run` sends one and waits; a worker sends many in one round trip. Calls can be sent again
with the same arguments: scripts are idempotent.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gopher.server.calls import Call, LateCall

from .arguments import Completion, Failure, as_ms, as_number, attempt, completed
from .batch_moves import BatchMoves
from .gradual_moves import GradualMoves
from .keys import QueueKeys
from .new_jobs import NewJobs
from .parent_moves import ParentMoves
from .reading_moves import ReadingMoves
from .replies import (
    read_answer,
    read_answers,
    read_evicted,
    read_fetched,
    read_heartbeat,
    read_posted,
    read_promoted,
    read_pruned,
    read_purged,
    read_reclaimed,
    read_rescued,
    read_sampled,
    reader_of_answers,
)
from .schedule_moves import ScheduleMoves
from .survey import read_forgotten, read_survey
from .transfer_moves import IMPORTED_KEPT, TransferMoves

#: Samples for plots over time: interval in ms, and number. Slightly more than an hour, a day and a month.
SERIES = ((10_000, 370), (300_000, 300), (3_600_000, 750))
#: Seconds after which a delivery to another queue whose outcome is unknown is started again, also by other processes.
AGAIN_AFTER = 5.0
#: How often a job may lose its worker before it is considered the cause (an outage is one loss).
MAX_LOST = 10
#: Milliseconds for which a command to a worker is kept; its heartbeats are more frequent.
COMMANDS_KEPT = 60_000


class Queue(NewJobs, GradualMoves, ScheduleMoves, TransferMoves, BatchMoves, ParentMoves, ReadingMoves):
    """The moves within one queue."""

    def __init__(self, keys: QueueKeys, *, retention: float = 3600.0) -> None:
        super().__init__(keys)
        self._retention = round(retention * 1000)

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
        only: str = "",
    ) -> Call:
        """Move up to `want` jobs from next and pending into the worker's list (fetch.lua).

        `number` is that of the first token; `order` has the letters of the priorities whose turns come next, for one
        cycle. Fetches behind a blocking pop have numbers of their own, b1, b2, ...; `lost_pops` are those whose replies
        never came. `only` is the letter of the only priority whose jobs are wanted. The reply is a `Fetched`.
        """
        arguments: tuple[str | int, ...] = (
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
        return self._call("fetch", (*arguments, only) if only else arguments, read_fetched)

    def complete(self, worker: str, completions: Sequence[Completion]) -> Call:
        """Move jobs from the worker's list to completed, with their results (complete.lua).

        The reply is a list with OK, ALREADY, STALE or MISSING for each.
        """
        rows = list(map(completed, completions))
        return self._call("complete", (worker, self._retention, _pack(rows)), reader_of_answers(len(rows)))

    def retry(self, worker: str, failure: Failure, delay: float) -> Call:
        """Move a job from the worker's list to retrying, due after `delay` seconds (retry.lua)."""
        arguments = (worker, failure.job_id, failure.token, round(delay * 1000), *attempt(failure))
        arguments += (self._retention, failure.usage)
        return self._call("retry", arguments, read_answer)

    def dead_letter(self, worker: str, failure: Failure, error_class: str, place: str = "") -> Call:
        """Move a job from the worker's list to failed (dead_letter.lua).

        `place` is where in the handler's code it failed, e.g. `shop/mail.py:42 send`, for failure groups.
        """
        arguments = (worker, failure.job_id, failure.token, error_class, *attempt(failure), place, failure.usage)
        return self._call("dead_letter", arguments, read_answer)

    def requeue(self, worker: str, job_id: str, token: str, delay: float = 0.0) -> Call:
        """Move a job back to the head of pending, or to scheduled, without counting its attempt (requeue.lua)."""
        return self._call("requeue", (worker, job_id, token, round(delay * 1000), self._retention), read_answer)

    def hold(self, job_id: str, token: str, text: str) -> Call:
        """Note in a job's record what memory it waits for in its worker, since and until when (hold.lua)."""
        return self._call("hold", (job_id, token, text), read_answer)

    def throttle(self, worker: str, job_id: str, token: str, delay: float, scope: str = "type") -> Call:
        """Give a job back, and throttle the jobs with its limit key, or its type, for `delay` seconds (throttle.lua).

        No attempt is counted."""
        arguments = (worker, job_id, token, round(delay * 1000), self._retention, scope)
        return self._call("throttle", arguments, read_answer)

    def cancelled(self, worker: str, job_id: str, token: str, row: bytes, log: bytes) -> Call:
        """Move a job whose child was stopped from the worker's list to cancelled (cancelled.lua)."""
        return self._call("cancelled", (worker, job_id, token, row, log, self._retention), read_answer)

    def cancel(self, job_id: str) -> Call:
        """Move a waiting job to cancelled, or mark a running one (cancel.lua).

        The reply is CANCELLED, CANCELLING, MISSING, or the final state of the job.
        """
        return self._call("cancel", (job_id, self._retention), read_answer)

    def run_now(self, job_id: str) -> Call:
        """Move a job that waits for its time or for a limit to the head of pending (run_now.lua).

        The reply is OK, PARENTS, MISSING, or the state of a job that does not wait.
        """
        return self._call("run_now", (job_id,), read_answer)

    def set_priority(self, job_id: str, priority: str) -> Call:
        """Give a waiting job another priority (set_priority.lua).

        The reply is OK, STARTING, MISSING, or the state of a job that does not wait.
        """
        return self._call("set_priority", (job_id, priority), read_answer)

    def depart(self, job_id: str, to: str, move_id: str, priority: str = "") -> Call:
        """Take a waiting job out, for another queue (depart.lua). The reply is the answer, and the entry for it.

        `priority` is that in the other queue, "" to keep its own. Without a queue it changes nothing, and answers OK
        for a job that may leave.
        """
        return self._call("depart", (job_id, to, move_id, priority), list)

    def arrive(self, moved: Sequence[tuple[str, str, str, str, Sequence[bytes]]]) -> Call:
        """Store jobs from other queues: (id of the move, id, state, due, fields) (arrive.lua). The reply is a count."""
        rows = [(*row[:-1], len(row[-1]) // 2) for row in moved]
        values = [value for row in moved for value in row[-1]]
        return self._call("arrive", (str(round(IMPORTED_KEPT * 1000)), _pack(rows), *values), int)

    def note_copy(self, job_id: str, copy_id: str) -> Call:
        """Note in a job's record that it was copied (note_copy.lua). The reply is OK or MISSING."""
        return self._call("note_copy", (job_id, copy_id), read_answer)

    def report(self, reports: Sequence[tuple[str, str, bytes, bytes]]) -> Call:
        """Store progress and log (JSON, b"" for none) of running jobs: (id, token, progress, log) (report.lua)."""
        return self._call("report", [value for report in reports for value in report], read_answers)

    def note_frozen(self, job_id: str, token: str, seconds: float, *, is_frozen: bool) -> Call:
        """Note that a running job is frozen, or continues, and for how long it was frozen before (note_frozen.lua)."""
        arguments = (job_id, token, round(seconds * 1000), "1" if is_frozen else "")
        return self._call("note_frozen", arguments, read_answer)

    def heartbeat(self, worker: str, lease: float, *, first: bool = False) -> Call:
        """Extend a worker's lease to `lease` seconds from now (heartbeat.lua). The reply is a `Heartbeat`."""
        return self._call("heartbeat", (worker, round(lease * 1000), "1" if first else "0"), read_heartbeat)

    def command(self, worker: str, command: str) -> Call:
        """Give a worker a command (command.lua). The reply is OK, or MISSING if it has no lease on this queue."""
        return self._call("command", (worker, command, COMMANDS_KEPT), read_answer)

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

    def relay(self, queues: int = 20, entries: int = 200, *, left_for: float = 0.0) -> Call:
        """Take what is due to be delivered to other queues (relay.lua). The reply is a `Posted`.

        With `left_for`, only what no other process has taken for that many seconds since it was due.
        """
        arguments = (queues, entries, round(AGAIN_AFTER * 1000), round(left_for * 1000))
        return self._call("relay", arguments, read_posted)

    def relayed(self, queue: str, entries: Sequence[bytes]) -> Call:
        """Remove entries that were delivered to a queue (relayed.lua). The reply is how many are left for it."""
        return self._make("relayed", (queue, *entries), int)

    def rescue(
        self,
        last_now: int | None,
        elapsed: float | Callable[[], float],
        limit: int | Callable[[], int] = 100,
        *,
        since_reply: Callable[[], float] | None = None,
    ) -> Call:
        """Move the jobs of lost workers to the head of pending (rescue.lua). The reply is a `Rescued`.

        `last_now` is the server's now (ms) in the reply to the caller's last call, `elapsed` the seconds since that was
        sent by the caller's own steady clock, and `since_reply` those since the reply was read, if that may have been
        late: together they tell a clock that was set from time that passed. A call that may wait until the server can
        be reached takes functions, which are called when it is sent.
        """

        def since() -> int:
            return round((elapsed() if callable(elapsed) else elapsed) * 1000)

        def since_read() -> int:
            return since() if since_reply is None else round(since_reply() * 1000)

        last: tuple[Any, ...] = ("", "", "") if last_now is None else (last_now, since, since_read)
        return LateCall(*self._call("rescue", (limit, MAX_LOST, self._retention, *last), read_rescued))

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
        per_key: bool = False,
        *,
        origin: str = "api",
    ) -> Call:
        """Set the rate and the concurrency of a type (set_limit.lua). The reply is SET or KEPT."""
        arguments = (
            job_type,
            as_number(rate),
            as_number(burst),
            as_number(concurrency),
            origin,
            "1" if per_key else "",
        )
        return self._call("set_limit", arguments, read_answer)

    def release(self, job_type: str, limit_key: str = "") -> Call:
        """End what RateLimited has throttled of a type, or of one of its keys (release.lua). The reply is a count."""
        return self._call("release", (job_type, limit_key), int)

    def set_tenant(
        self, tenant: str, weight: int | None, rate: float | None, burst: float | None, concurrency: int | None
    ) -> Call:
        """Set the weight and the limits of a tenant, None for no settings (set_tenant.lua). The reply is SET."""
        arguments = (tenant, as_number(weight), as_number(rate), as_number(burst), as_number(concurrency))
        return self._call("set_tenant", arguments, read_answer)

    def pause(self, job_type: str = "") -> Call:
        """Pause a type, or the queue (pause.lua). The reply is whether it was not paused before."""
        return self._call("pause", (job_type,), bool)

    def resume(self, job_type: str = "") -> Call:
        """Resume a type, or the queue (resume.lua). The reply is whether it was paused."""
        return self._call("resume", (job_type,), bool)

    def subscribe(self, version: int, ends: Mapping[str, str]) -> Call:
        """Store which ends of jobs webhooks are told of: type -> states (subscribe.lua). The reply is whether it is."""
        arguments = (version, *[word for pair in ends.items() for word in pair])
        return self._call("subscribe", arguments, bool)

    def announce(self, declared: Sequence[str], *, if_new: bool = False) -> Call:
        """Note that handlers declare schedules and limits (announce.lua); `if_new`: only what is not noted yet."""
        return self._call("announce", ("1" if if_new else "0", *declared), read_answer)

    def withdraw(self, kind: str, name: str, after: float, definition: bytes = b"") -> Call:
        """Delete a handler's schedule or limit that was not announced for `after` seconds (withdraw.lua).

        The reply is WITHDRAWN, DECLARED or CHANGED.
        """
        return self._call("withdraw", (as_ms(after), kind, name, definition), read_answer)

    def prune(self, place: int, dead_ttl: float, dead_max: int, limit: int = 1000) -> Call:
        """Remove old records (prune.lua). The reply is a `Pruned`."""
        return self._call("prune", (limit, place, round(dead_ttl * 1000), dead_max), read_pruned)

    def evict(self, limit: int, place: int, until: int, keep_for: float) -> Call:
        """Evict up to `limit` records, oldest first, of jobs that ended until `until` (ms) (evict.lua).

        Those that ended within the last `keep_for` seconds are kept. The reply is an `Evicted`.
        """
        return self._call("evict", (limit, place, until, round(keep_for * 1000)), read_evicted)

    def sample(self) -> Call:
        """Note the values of the counters, if it is time to (sample.lua). The reply is a `Sampled`."""
        return self._call("sample", [number for series in SERIES for number in series], read_sampled)

    def survey(self) -> Call:
        """Read what the queue holds (survey.lua). The reply is a `Survey`."""
        return self._call("survey", (), read_survey)

    def forget(self) -> Call:
        """Delete what is left of an empty queue (forget.lua). The reply is its counters, or None."""
        return self._call("forget", [step for step, _ in SERIES], read_forgotten)


_pack = msgspec.msgpack.Encoder().encode
