"""Copies operators' limits and pauses of job types to new queues."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from gopher.base.salvage import Salvage, finite, is_corrupt, replies, reply, text, whole
from gopher.jobs.limit import Limit
from gopher.server.calls import Call

from .keys import Keys, QueueKeys
from .moves import Queue


def inherit_limits(client: Any, keys: Keys, queues: Sequence[Queue]) -> Iterator[tuple[str, list[Call]]]:
    """Yield for each new queue the calls, if any, that set the limits and pauses which an operator has set for types.

    They are read from any other queue: each has all of them, since it inherited them when it was new. Limits declared
    by handlers are set by the workers of each queue.
    """
    other = client.srandmember(keys.queues)
    rows = [] if other is None else _limits_in(client, keys.for_queue(text(other)))
    for queue in queues:
        if calls := [call for row in rows for call in _calls(queue, *row)]:
            yield queue.name, calls


def _limits_in(client: Any, known: QueueKeys) -> list[tuple[str, Limit | None, bool]]:
    """Return the types, their limits set by an operator, and whether they are paused.

    Corrupt ones are skipped: they are not a reason to reject a job.
    """
    found = reply(client.smembers, known.limited)
    types = [] if is_corrupt(found) else sorted(map(text, found))
    pipe = client.pipeline(transaction=False)
    for name in types:
        pipe.hmget(known.limit(name), "rate", "burst", "concurrency", "origin", "paused")
    rows = zip(types, replies(pipe) if types else [], strict=True)
    return [(name, Salvage().read("limit", partial(_limit, row), None), _paused(row)) for name, row in rows]


def _limit(row: Sequence[bytes | None]) -> Limit | None:
    rate, burst, concurrency, origin, _ = row
    if origin != b"api":
        return None
    return Limit(_number(rate), _number(burst), None if concurrency is None else whole(concurrency))


def _number(value: bytes | None) -> float | None:
    return None if value is None else finite(value)


def _paused(row: Any) -> bool:
    return not is_corrupt(row) and row[4] is not None


def _calls(queue: Queue, job_type: str, limit: Limit | None, paused: bool) -> Iterator[Call]:
    if limit is not None:
        yield queue.set_limit(job_type, *limit)
    if paused:
        yield queue.pause(job_type)
