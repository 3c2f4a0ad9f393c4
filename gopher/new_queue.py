"""A queue that is new: what operators have said of job types holds in it too."""

from typing import Any

from .keys import Keys
from .limits import Limit
from .queue import Call, Queue


def take_over(client: Any, keys: Keys, queue: Queue) -> list[Call]:
    """Return the calls that give a new queue the limits and pauses that an operator has set for types everywhere.

    Any other queue will do to read them from: each has them all, since it took them over when it was new itself.
    What a handler declares is told to each queue by the workers that serve it.
    """
    other = client.srandmember(keys.queues)
    if other is None:
        return []
    known = keys.of(other.decode())
    calls: list[Call] = []
    for name in sorted(client.smembers(known.limited)):
        job_type = name.decode()
        row = client.hmget(known.limit(job_type), "rate", "burst", "concurrency", "origin", "paused")
        rate, burst, concurrency, origin, paused = row
        if origin == b"api":
            limit = Limit(_number(rate), _number(burst), None if concurrency is None else int(concurrency))
            calls.append(queue.set_limit(job_type, *limit))
        if paused is not None:
            calls.append(queue.pause(job_type))
    return calls


def _number(value: bytes | None) -> float | None:
    return None if value is None else float(value)
