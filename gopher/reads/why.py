"""Explains why a job isn't running yet: reasons, most immediate first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gopher.base.durations import format_duration
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import UNREADABLE, is_corrupt, order, replies, reply, text, texts
from gopher.base.states import BETWEEN_ATTEMPTS, QUEUED, RUNNING, TIMED, UNSTARTED, WAITING, State
from gopher.base.times import to_rfc3339
from gopher.jobs.models import Reason, WorkerView
from gopher.queue.store import Server
from gopher.server.clock import now_at
from gopher.server.errors import explained

from .histogram import latency_of
from .jobs import Inspector

#: Maximum number of list entries searched for the job; beyond that its position is given as "more than".
_LOOK = 100_000


@dataclass(frozen=True)
class _Look:
    """A consistent snapshot, read with MULTI/EXEC."""

    now: int
    record: dict[str, str]
    paused: bool
    limit: dict[str, str]
    bucket: dict[str, str]
    holding: list[str]
    ahead: dict[str, int]
    place: int | None
    parked_place: int | None
    mean_seconds: float


class Explainer:
    """Explains why a job isn't running yet."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector

    def why(self, job_id: str) -> list[Reason] | None:
        """Return the reasons, None if there is no such job."""
        queue = self._inspector.find(job_id)
        if queue is None:
            return None
        try:
            look = self._look(queue, job_id)
            if look is None:
                return None
            workers = [worker for worker in self._inspector.workers() if queue in worker.queues]
            return list(_reasons(look, workers))
        except UNREADABLE as error:
            return [Reason("corrupt", f"its record, or its type's limit, is corrupt: {error}")]

    def _look(self, queue: str, job_id: str) -> _Look | None:
        keys, client = self._server.keys.for_queue(queue), self._server.client
        with explained():
            # These never change; everything else is read below in one transaction.
            names = reply(client.hmget, keys.job(job_id), "type", "priority", "bucket", "state")
            if is_corrupt(names):
                raise TypeError("the key has another type")
            if not any(names):
                return None
            job_type, priority, own_bucket, _ = names
            bucket = (own_bucket or job_type).decode()
            now = now_at(client, keys.prefix)
            pipe = client.pipeline(transaction=True)
            pipe.hgetall(keys.job(job_id))
            pipe.exists(keys.paused)
            pipe.hgetall(keys.limit(job_type.decode()))
            pipe.hgetall(keys.bucket(bucket))
            pipe.smembers(keys.holding(bucket))
            pipe.lpos(keys.pending(priority.decode()), job_id, rank=-1, maxlen=_LOOK)
            pipe.lpos(keys.parked(bucket, priority.decode()), job_id, rank=-1, maxlen=_LOOK)
            pipe.hgetall(keys.histogram(job_type.decode()))
            for name in PRIORITIES:
                pipe.llen(keys.pending(name))
            pipe.llen(keys.parked(bucket, priority.decode()))
            record, paused, limit, tokens, holding, place, parked_place, histogram, *lengths = replies(pipe)
        latencies = {field: order(count) for field, count in texts(histogram).items()}
        lists = dict(zip(PRIORITIES, lengths, strict=False))
        # Positions count from the head, which is the right end of a list.
        return _Look(
            now=now,
            record=texts(record),
            paused=bool(paused),
            limit=texts(limit),
            bucket=texts(tokens),
            holding=sorted(text(member) for member in holding),
            ahead=lists,
            place=None if place is None else lists[priority.decode()] - 1 - place,
            parked_place=None if parked_place is None else lengths[-1] - 1 - parked_place,
            mean_seconds=latency_of(latencies, "run").mean or 0.0,
        )


def _reasons(look: _Look, workers: list[WorkerView]) -> Iterator[Reason]:
    state = look.record.get("state", "")
    if state in UNSTARTED and int(look.record.get("expires", look.now + 1)) <= look.now:
        # No worker has removed it yet.
        yield Reason("ended", f"it has already finished: {State.EXPIRED}")
    elif state in RUNNING:
        worker = look.record.get("token", "").rpartition(".")[0]
        yield Reason("running", f"it has been running on {worker} since {_at(look.record['started'])}")
    elif "waiting_for" in look.record and state in WAITING:
        left = look.record["waiting_for"]
        yield Reason("waits_for_jobs", f"it waits for {left} unfinished jobs of: {look.record['parents']}")
    elif state in TIMED:
        due = look.record.get("due")
        word = "its next attempt comes" if state in BETWEEN_ATTEMPTS else "its time comes"
        yield Reason(state, f"{word} for {_at(due)}" if due else word, _at(due) if due else None)
    elif state in QUEUED:
        yield from _pending_reasons(look, workers)
    else:
        yield Reason("ended", f"it has already finished: {state}")


def _pending_reasons(look: _Look, workers: list[WorkerView]) -> Iterator[Reason]:
    job_type = look.record["type"]
    if look.paused:
        yield Reason("queue_paused", "its queue is paused: resume it with gopherctl resume --queue")
    if "paused" in look.limit:
        yield Reason(
            "type_paused", f"the type {job_type!r} is paused: resume it with gopherctl resume --type {job_type}"
        )
    yield from _limit_reasons(look, job_type)
    if not workers:
        yield Reason("no_worker", "no live worker serves its queue: start one with gopherctl worker")
    elif not any(job_type in worker.types for worker in workers):
        yield Reason("no_worker_for_type", f"no live worker has a handler for {job_type!r}: check GOPHER_HANDLERS")
    yield _position(look, workers)


def _limit_reasons(look: _Look, job_type: str) -> Iterator[Reason]:
    held_until = int(look.limit.get("held_until", 0))
    if held_until > look.now:
        yield Reason("held_back", f"{job_type!r} is throttled by a handler's RateLimited", _at(held_until))
    if "rate" in look.limit:
        next_token = _next_token(look)
        if next_token is not None:
            yield Reason("rate_limited", f"the rate limit of {job_type!r} is exhausted", next_token)
    concurrency = look.limit.get("concurrency")
    if concurrency and len(look.holding) >= int(concurrency):
        holders = ", ".join(look.holding[:5])
        yield Reason("concurrency", f"{len(look.holding)} of {concurrency} {job_type!r} are running: {holders}")


def _next_token(look: _Look) -> str | None:
    """Return when the next token is available, None if there is one now."""
    rate, burst = float(look.limit["rate"]), float(look.limit["burst"])
    if rate == 0:
        return "never: the rate is 0"
    since = max(look.now - int(float(look.bucket.get("stamp", look.now))), 0)
    tokens = min(float(look.bucket.get("tokens", burst)) + since * rate / 1000, burst)
    if tokens >= 1:
        return None
    return _at(look.now + math.ceil((1 - tokens) * 1000 / rate))


def _position(look: _Look, workers: list[WorkerView]) -> Reason:
    priority = look.record["priority"]
    if look.parked_place is not None:
        return Reason("position", f"{look.parked_place} jobs of its type and priority are ahead of it")
    if look.place is None:
        return Reason("position", f"it is next, or more than {_LOOK} jobs are ahead of it")
    higher = sum(look.ahead[name] for name in PRIORITIES[: PRIORITIES.index(priority)])
    text = f"{look.place} jobs of priority {priority} are ahead of it, and {higher} of higher priority"
    children = sum(len(worker.children) for worker in workers)
    if not children or not look.mean_seconds:
        return Reason("position", text)
    wait = (look.place + higher) * look.mean_seconds / children
    return Reason("position", f"{text}; it may start in about {format_duration(wait)}", _at(look.now + wait * 1000))


def _at(milliseconds: Any) -> str:
    return to_rfc3339(float(milliseconds))
