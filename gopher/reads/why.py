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
from gopher.queue.keys import held_tenant
from gopher.queue.store import Server
from gopher.server.clock import now_at
from gopher.server.errors import explained

from .advice import change_limit, end_throttling, resume_queue, resume_type, start_worker
from .frozen import read_frozen
from .histogram import latency_of, with_earlier
from .jobs import Inspector
from .memory_reasons import held_reason, is_held, memory_reason

#: Maximum number of list entries searched for the job; beyond that its position is given as "more than".
_LOOK = 100_000


@dataclass(frozen=True)
class _Look:
    """A consistent snapshot, read with MULTI/EXEC."""

    now: int
    record: dict[str, str]
    paused: bool
    limit: dict[str, str]
    #: Until when its limit key is throttled (ms), 0 if it is not.
    key_held_until: int
    tenant_held_until: int
    bucket: dict[str, str]
    holding: list[str]
    ahead: dict[str, int]
    place: int | None
    #: Of a tenant's job: its place in the tenant's list, that of the tenant in the ring, and how many tenants wait.
    tenant_place: int | None
    turns_before: int | None
    tenants: int
    parked_place: int | None
    mean_seconds: float


class Explainer:
    """Explains why a job isn't running yet."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector

    def why(self, job_id: str, *, sees_all: bool) -> list[Reason] | None:
        """Return the reasons, None if there is no such job. They reveal other jobs only if the caller sees all."""
        queue = self._inspector.find(job_id)
        if queue is None:
            return None
        try:
            look = self._look(queue, job_id)
            if look is None:
                return None
            workers = [worker for worker in self._inspector.workers() if queue in worker.queues]
            return list(_reasons(look, queue, workers, sees_all=sees_all))
        except UNREADABLE as error:
            return [Reason("corrupt", f"its record, or its type's limit, is corrupt: {error}")]

    def _look(self, queue: str, job_id: str) -> _Look | None:
        keys, client = self._server.keys.for_queue(queue), self._server.client
        with explained():
            # These never change; everything else is read below in one transaction.
            names = reply(client.hmget, keys.job(job_id), "type", "priority", "bucket", "state", "parked", "tenant")
            if is_corrupt(names):
                raise TypeError("the key has another type")
            if not any(names):
                return None
            job_type, priority, own_bucket, _, parked, tenant = names
            is_per_key = own_bucket and client.hexists(keys.limit(job_type.decode()), "per_key")
            bucket = (own_bucket if is_per_key else job_type).decode()
            parked_in = keys.parked((parked or bucket.encode()).decode(), priority.decode())
            now = now_at(client, keys.prefix)
            pipe = client.pipeline(transaction=True)
            pipe.hgetall(keys.job(job_id))
            pipe.exists(keys.paused)
            pipe.hgetall(keys.limit(job_type.decode()))
            pipe.zscore(keys.held(job_type.decode()), (own_bucket or b"").decode().partition("/")[2])
            pipe.zscore(keys.held(job_type.decode()), held_tenant(text(tenant or b"")))
            pipe.hgetall(keys.bucket(bucket))
            pipe.smembers(keys.holding(bucket))
            pipe.lpos(keys.pending(priority.decode()), job_id, rank=-1, maxlen=_LOOK)
            pipe.lpos(parked_in, job_id, rank=-1, maxlen=_LOOK)
            of_tenant, ring = keys.pending_of(priority.decode(), text(tenant or b"")), keys.ring(priority.decode())
            pipe.llen(of_tenant)
            pipe.lpos(of_tenant, job_id, rank=-1, maxlen=_LOOK)
            pipe.llen(ring)
            pipe.lpos(ring, tenant or "", rank=-1, maxlen=_LOOK)
            pipe.lpos(ring, "", rank=-1, maxlen=_LOOK)
            pipe.hgetall(keys.histogram(job_type.decode()))
            pipe.hgetall(keys.latencies(job_type.decode()))
            for name in PRIORITIES:
                pipe.llen(keys.pending(name))
            pipe.llen(parked_in)
            found = replies(pipe)
            record, paused, limit, key_held, tenant_held, tokens, holding, place, parked_place, *rings = found[:14]
            earlier, current = ({field: order(count) for field, count in texts(each).items()} for each in found[14:16])
            lengths = found[16:]
            jobs_of_tenant, tenant_place, tenants, turn, without = rings
        lists = dict(zip(PRIORITIES, lengths, strict=False))
        is_empty = not lists[priority.decode()]
        # Positions count from the head, which is the right end of a list.
        return _Look(
            now=now,
            record=texts(record),
            paused=bool(paused),
            limit=texts(limit),
            key_held_until=int(key_held or 0),
            tenant_held_until=int(tenant_held or 0),
            bucket=texts(tokens),
            holding=sorted(text(member) for member in holding),
            ahead=lists,
            place=None if place is None else lists[priority.decode()] - 1 - place,
            tenant_place=None if tenant_place is None else jobs_of_tenant - 1 - tenant_place,
            # One of them is for the jobs without a tenant, if there are any.
            turns_before=None if turn is None else tenants - 1 - turn - (is_empty and (without or 0) > turn),
            tenants=tenants - is_empty,
            parked_place=None if parked_place is None else lengths[-1] - 1 - parked_place,
            mean_seconds=latency_of(with_earlier(current, earlier), "run").mean or 0.0,
        )


def _reasons(look: _Look, queue: str, workers: list[WorkerView], *, sees_all: bool) -> Iterator[Reason]:
    state = look.record.get("state", "")
    if state in UNSTARTED and int(look.record.get("expires", look.now + 1)) <= look.now:
        # No worker has removed it yet.
        yield Reason("ended", f"it has already finished: {State.EXPIRED}")
    elif state in RUNNING:
        frozen = read_frozen(look.record.get("frozen", ""), look.record.get("token", ""))
        if frozen is not None and frozen.since is not None:
            since = _at(frozen.since)
            yield Reason("frozen", f"it is frozen since {since}: a job of high priority runs in its place")
        worker = look.record.get("token", "").rpartition(".")[0]
        if is_held(look.record):
            if lack := memory_reason([each for each in workers if each.id == worker], look.record):
                yield lack
            yield held_reason(worker, look.record)
            return
        yield Reason("running", f"it has been running on {worker} since {_at(look.record['started'])}")
    elif "waiting_for" in look.record and state in WAITING:
        left = look.record["waiting_for"]
        those = f"these jobs: {look.record['parents']}" if sees_all else "the jobs in `after`"
        yield Reason("waits_for_jobs", f"it still waits for {left} of {those}")
    elif state in TIMED:
        due = _at(look.record["due"]) if look.record.get("due") else None
        what = "its next attempt" if state in BETWEEN_ATTEMPTS else "it"
        yield Reason(state, f"{what} is due at {due}" if due else f"{what} is not due yet", due)
    elif state in QUEUED:
        obstacles = list(_obstacles(look, queue, workers, sees_all=sees_all))
        yield from obstacles
        # When it starts depends on the jobs ahead only if nothing else is in the way.
        children = 0 if obstacles else sum(len(worker.children) for worker in _fetching(workers))
        yield _place(look, children, sees_all=sees_all)
    else:
        yield Reason("ended", f"it has already finished: {state}")


def _fetching(workers: list[WorkerView]) -> list[WorkerView]:
    return [worker for worker in workers if worker.state == "running"]


def _obstacles(look: _Look, queue: str, workers: list[WorkerView], *, sees_all: bool) -> Iterator[Reason]:
    """Yield what keeps a pending job from starting besides the jobs ahead of it."""
    job_type = look.record["type"]
    if look.paused:
        yield Reason("queue_paused", f"the queue {queue} is paused: {resume_queue(queue)}")
    if "paused" in look.limit:
        yield Reason("type_paused", f"the type {job_type!r} is paused: {resume_type(job_type)}")
    yield from _limit_reasons(look, job_type, sees_all=sees_all)
    yield from _worker_reasons(job_type, queue, workers)
    if lack := memory_reason(workers, look.record):
        yield lack


def _worker_reasons(job_type: str, queue: str, workers: list[WorkerView]) -> Iterator[Reason]:
    fetching, start = _fetching(workers), start_worker(queue)
    if any(job_type in worker.types for worker in fetching):
        return
    if not workers:
        yield Reason("no_worker", f"no live worker serves the queue {queue}: start one with {start}")
    elif not fetching:
        message = f"all workers that serve the queue {queue} are quiet or stopping: start another one with {start}"
        yield Reason("no_worker", message)
    elif any(job_type in worker.types for worker in workers):
        message = f"all workers that have a handler for {job_type!r} are quiet or stopping: start another one"
        yield Reason("no_worker_for_type", message)
    else:
        yield Reason("no_worker_for_type", f"no live worker has a handler for {job_type!r}: check GOPHER_HANDLERS")


def _place(look: _Look, children: int, *, sees_all: bool) -> Reason:
    """Return the place among the waiting jobs that `children` processes serve, 0 if that is not what it waits for."""
    if look.tenant_place is not None:
        return _place_in_ring(look, sees_all=sees_all)
    return _position(look, children) if sees_all else Reason("position", "other jobs may be ahead of it")


def _limit_reasons(look: _Look, job_type: str, *, sees_all: bool) -> Iterator[Reason]:
    held_until = int(look.limit.get("held_until", 0))
    if look.key_held_until > look.now:
        key = look.record["bucket"].partition("/")[2]
        yield Reason(
            "held_back",
            f"the limit key {key!r} of {job_type!r} is throttled: a handler raised RateLimited; "
            f"{end_throttling(job_type, key)}",
            _at(look.key_held_until),
        )
    if look.tenant_held_until > look.now:
        tenant = look.record.get("tenant", "")
        whose = f"jobs of the tenant {tenant!r}" if tenant else "jobs without a tenant"
        yield Reason(
            "held_back",
            f"{whose} of the type {job_type!r} are throttled: a handler raised RateLimited; "
            f"{end_throttling(job_type, tenant=tenant)}",
            _at(look.tenant_held_until),
        )
    if held_until > look.now:
        message = f"{job_type!r} is throttled: a handler raised RateLimited; {end_throttling(job_type)}"
        yield Reason("held_back", message, _at(held_until))
    if "rate" in look.limit and not float(look.limit["rate"]):
        yield Reason("rate_limited", f"the rate limit of {job_type!r} is 0: {change_limit(job_type)}")
    elif "rate" in look.limit:
        next_token = _next_token(look)
        if next_token is not None:
            yield Reason("rate_limited", f"the rate limit of {job_type!r} is used up", next_token)
    concurrency = look.limit.get("concurrency")
    if concurrency and len(look.holding) >= int(concurrency):
        holders = f": {', '.join(look.holding[:5])}" if sees_all else ""
        running = f"{len(look.holding)} of at most {concurrency}"
        yield Reason("concurrency", f"{running} {job_type!r} jobs are running{holders}")


def _next_token(look: _Look) -> str | None:
    """Return when the next token is available, None if there is one now."""
    rate, burst = float(look.limit["rate"]), float(look.limit["burst"])
    since = max(look.now - int(float(look.bucket.get("stamp", look.now))), 0)
    tokens = min(float(look.bucket.get("tokens", burst)) + since * rate / 1000, burst)
    if tokens >= 1:
        return None
    return _at(look.now + math.ceil((1 - tokens) * 1000 / rate))


def _position(look: _Look, children: int) -> Reason:
    priority = look.record["priority"]
    if look.parked_place is not None:
        return Reason("position", f"jobs of its type and priority ahead of it: {look.parked_place}")
    if look.place is None:
        return Reason("position", f"it is next, or more than {_LOOK} jobs are ahead of it")
    higher = sum(look.ahead[name] for name in PRIORITIES[: PRIORITIES.index(priority)])
    text = f"jobs ahead of it: {look.place} of priority {priority}, {higher} of higher priority"
    if not children or not look.mean_seconds:
        return Reason("position", text)
    wait = (look.place + higher) * look.mean_seconds / children
    return Reason("position", f"{text}; it may start in about {format_duration(wait)}", _at(look.now + wait * 1000))


def _place_in_ring(look: _Look, *, sees_all: bool) -> Reason:
    ahead = f"jobs of its tenant and priority ahead of it: {look.tenant_place}"
    tenant = look.record["tenant"]
    if look.turns_before is None:
        return Reason("tenant_limited", f"the tenant {tenant!r} has reached its limit; {ahead}")
    if not sees_all:
        return Reason("position", f"other tenants may be served before it; {ahead}")
    turns = f"the tenant {tenant!r} is served after {look.turns_before} of {look.tenants} tenants"
    return Reason("position", f"{turns}; {ahead}")


def _at(milliseconds: Any) -> str:
    return to_rfc3339(float(milliseconds))
