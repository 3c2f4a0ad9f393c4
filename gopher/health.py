"""Whether an installation works: the server answers and can be written to, somebody runs the jobs."""

import time
from typing import TYPE_CHECKING

import msgspec

from . import __version__
from .installation import notice
from .times import to_rfc3339

if TYPE_CHECKING:
    from .client import Client


class ServerHealth(msgspec.Struct):
    """The server as it answered; `url` without its password."""

    url: str
    latency_ms: float


class Health(msgspec.Struct, omit_defaults=True):
    """`status` is healthy, or degraded for the `reasons`: jobs are accepted, and some of them wait in vain."""

    status: str
    timestamp: str
    version: str
    redis: ServerHealth
    workers: int
    scheduler: str
    reasons: list[str] = []


def examine(client: "Client") -> Health:
    """Look at server, workers and scheduler. Raises a ServerError when the server can't be used."""
    latency, mark = _write(client)
    workers, schedulers = client.workers(), client.inspector.schedulers()
    served = {queue for worker in workers for queue in worker.queues}
    reasons = [
        f"queue {name!r} has jobs and no worker: start one with `gopherctl worker --queues {name}`"
        for name, queue in client.stats().queues.items()
        if name not in served and queue.waiting + queue.scheduled + queue.retrying
    ]
    now = client.inspector.now()
    if emptied := notice(mark, now):
        reasons.insert(0, emptied)
    if not schedulers:
        reasons.append("no scheduler is alive: delayed jobs and retries wait; start one with `gopherctl scheduler`")
    return Health(
        status="degraded" if reasons else "healthy",
        timestamp=to_rfc3339(now),
        version=__version__,
        redis=ServerHealth(url=str(client.settings.server_address), latency_ms=round(latency * 1000, 3)),
        workers=len(workers),
        scheduler="alive" if schedulers else "missing",
        reasons=reasons,
    )


def check_writable(client: "Client") -> float:
    """Return the seconds that a write took; it changes nothing. Raises a ServerError.

    A PING is also answered by a server that is out of memory or a replica; this is refused as a new job would be.
    """
    return _write(client)[0]


def _write(client: "Client") -> tuple[float, list[bytes | None]]:
    """Return the seconds that it took, and what was read beside it: the mark that an emptied server has lost."""
    server, start = client.server, time.perf_counter()

    def write() -> list[bytes | None]:
        pipe = server.client.pipeline(transaction=False)
        pipe.zadd(server.keys.schedulers, {"": 0}, xx=True)
        pipe.execute_command(*server.installation.look().words)
        mark: list[bytes | None] = pipe.execute()[1]
        return mark

    mark = server.write(server.keys.schedulers, write)
    latency = time.perf_counter() - start
    if server.take_mark(mark):
        mark = server.client.execute_command(*server.installation.look().words)
    return latency, mark
