"""A queue that is new: what operators have said of job types holds in it too."""

from collections.abc import Iterator, Sequence
from typing import Any

from .keys import Keys, QueueKeys
from .limits import Limit
from .queue import Call, Queue


def take_over(client: Any, keys: Keys, queues: Sequence[Queue]) -> Iterator[tuple[str, list[Call]]]:
    """Yield for each of some new queues the calls, if any, that give it the limits and pauses which an operator has set
    for types everywhere.

    Any other queue will do to read them from: each has them all, since it took them over when it was new itself.
    What a handler declares is told to each queue by the workers that serve it.
    """
    other = client.srandmember(keys.queues)
    rows = [] if other is None else _limits_in(client, keys.of(other.decode()))
    for queue in queues:
        if calls := [call for row in rows for call in _calls(queue, *row)]:
            yield queue.name, calls


def _limits_in(client: Any, known: QueueKeys) -> list[tuple[str, list[bytes | None]]]:
    types = sorted(name.decode() for name in client.smembers(known.limited))
    pipe = client.pipeline(transaction=False)
    for name in types:
        pipe.hmget(known.limit(name), "rate", "burst", "concurrency", "origin", "paused")
    return list(zip(types, pipe.execute() if types else [], strict=True))


def _calls(queue: Queue, job_type: str, row: Sequence[bytes | None]) -> Iterator[Call]:
    rate, burst, concurrency, origin, paused = row
    if origin == b"api":
        limit = Limit(_number(rate), _number(burst), None if concurrency is None else int(concurrency))
        yield queue.set_limit(job_type, *limit)
    if paused is not None:
        yield queue.pause(job_type)


def _number(value: bytes | None) -> float | None:
    return None if value is None else float(value)
