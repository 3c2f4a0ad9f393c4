"""Commands by which workers and schedulers publish their presence.

These keys belong to no queue; neither the moves of jobs nor leases depend on them.
"""

from gopher.server.calls import Command

from .keys import Keys


def show_worker(keys: Keys, worker_id: str, record: bytes, now: int, ttl: float) -> list[Command]:
    """Return the commands that publish a worker's record (JSON) for `ttl` seconds; `now` is the server's (ms)."""
    place = keys.worker(worker_id)
    until = now + round(ttl * 1000)
    return [
        Command(place, ("HSET", place, "record", record)),
        Command(place, ("PEXPIREAT", place, until)),
        Command(keys.workers, ("ZADD", keys.workers, until, worker_id)),
        Command(keys.workers, ("ZREMRANGEBYSCORE", keys.workers, "-inf", now)),
    ]


def hide_worker(keys: Keys, worker_id: str) -> list[Command]:
    """Return the commands that remove a leaving worker."""
    place = keys.worker(worker_id)
    return [
        Command(place, ("DEL", place)),
        Command(keys.workers, ("ZREM", keys.workers, worker_id)),
        Command(keys.declaring, ("ZREM", keys.declaring, worker_id)),
    ]


def show_scheduler(keys: Keys, scheduler_id: str, now: int, ttl: float) -> list[Command]:
    """Return the commands that publish a scheduler for `ttl` seconds; `now` is the server's (ms)."""
    until = now + round(ttl * 1000)
    return [
        Command(keys.schedulers, ("ZADD", keys.schedulers, until, scheduler_id)),
        Command(keys.schedulers, ("ZREMRANGEBYSCORE", keys.schedulers, "-inf", now)),
    ]


def hide_scheduler(keys: Keys, scheduler_id: str) -> list[Command]:
    return [Command(key, ("ZREM", key, scheduler_id)) for key in (keys.schedulers, keys.declaring)]
