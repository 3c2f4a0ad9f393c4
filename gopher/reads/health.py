"""Health of an installation: the server is reachable and writable, and workers run the jobs.

A check costs the same regardless of the number of queues, workers and jobs. It examines only the newest queues itself;
the scheduler, which visits all queues anyway, records which others have jobs and no worker.
"""

import time
from collections.abc import Sequence

import msgspec

from gopher import __version__
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import Salvage, text
from gopher.base.states import TIMED
from gopher.base.times import to_rfc3339
from gopher.queue.installation import notice
from gopher.queue.keys import QueueKeys
from gopher.queue.names import NEWEST
from gopher.queue.server_state import NodeState
from gopher.queue.store import Server
from gopher.server.clock import now_at
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask

from .advice import NO_SCHEDULER, START_SCHEDULER, start_worker
from .pauses import pauses_of

#: Maximum number of queues that reasons name, and that a scheduler records.
NAMED = 10


class NodeHealth(msgspec.Struct):
    """The server, or a primary of a cluster, at most ten seconds ago; null for what it does not tell."""

    name: str
    maxmemory_policy: str | None
    memory_bytes: int | None
    maxmemory_bytes: int | None
    evicted_keys: int | None
    appendonly: bool | None
    replicas: int | None
    replica_lag_seconds: float | None


class ServerHealth(msgspec.Struct, omit_defaults=True):
    """The server; `url` is without its password."""

    url: str
    latency_ms: float
    nodes: list[NodeHealth] = []


class Health(msgspec.Struct, omit_defaults=True):
    """`status` is healthy, or degraded for the given `reasons`: jobs are accepted, but some will not run.

    If there are API keys, only clients with the role `read` get more than `status` and `timestamp`.
    """

    status: str
    timestamp: str
    version: str | None = None
    redis: ServerHealth | None = None
    workers: int | None = None
    scheduler: str | None = None
    reasons: list[str] = []
    #: For how many seconds queues and types have been paused: an operator wants it, so that it is no reason.
    paused_queues: dict[str, float] = {}
    paused_types: dict[str, float] = {}


class Unserved(msgspec.Struct):
    """The number of queues with jobs and no worker, and the names of the first ones."""

    count: int
    queues: list[str]

    @classmethod
    def from_names(cls, names: Sequence[str]) -> "Unserved":
        return cls(len(names), sorted(names)[:NAMED])


def examine(server: Server) -> Health:
    """Check server, workers and scheduler. Raises a ServerError if the server is unavailable."""
    latency, mark = _write(server)
    keys = server.keys
    with explained():
        now = now_at(server.client, keys.workers)
    with explained():
        workers, schedulers, queues, noted = ask(
            server.client,
            [
                ("ZCOUNT", keys.workers, now, "+inf"),
                ("ZCOUNT", keys.schedulers, now, "+inf"),
                ("SCARD", keys.queues),
                ("GET", keys.unserved),
            ],
        )
        newest = _newest(server, queues)
        unserved = _unserved(server, now, newest, noted, all_of=queues <= NEWEST)
        paused = pauses_of(server.client, newest, now)
    reasons = _reasons(unserved) + [f"{each.message}; {each.remedy}" for each in server.watch.dangers()]
    if emptied := notice(mark, now):
        reasons.insert(0, emptied)
    if not schedulers:
        reasons.append(f"{NO_SCHEDULER}; {START_SCHEDULER}")
    return Health(
        status="degraded" if reasons else "healthy",
        timestamp=to_rfc3339(now),
        version=__version__,
        redis=ServerHealth(
            url=str(server.settings.server_address),
            latency_ms=round(latency * 1000, 3),
            nodes=[_node_health(name, state) for name, state in sorted(server.watch.states().items())],
        ),
        workers=workers,
        scheduler="alive" if schedulers else "missing",
        reasons=reasons,
        paused_queues={name: each.queue for name, each in paused.items() if each.queue is not None},
        paused_types={name: seconds for each in paused.values() for name, seconds in sorted(each.types.items())},
    )


def _node_health(name: str, state: NodeState) -> NodeHealth:
    return NodeHealth(
        name=name,
        maxmemory_policy=state.policy,
        memory_bytes=state.memory,
        maxmemory_bytes=state.max_memory,
        evicted_keys=state.evicted,
        appendonly=state.aof,
        replicas=state.replicas,
        replica_lag_seconds=state.lag,
    )


def check_writable(server: Server) -> float:
    """Return the seconds of a write that changes nothing. Raises a ServerError.

    A server that is out of memory or a replica also responds to a PING; this is rejected like a new job.
    """
    return _write(server)[0]


def _write(server: Server) -> tuple[float, list[bytes | None]]:
    """Return the seconds of a write, and the mark that was read with it (see `Installation`)."""
    start = time.perf_counter()

    def write() -> list[bytes | None]:
        pipe = server.client.pipeline(transaction=False)
        pipe.zadd(server.keys.schedulers, {"": 0}, xx=True)
        pipe.execute_command(*server.installation.read_command().words)
        mark: list[bytes | None] = pipe.execute()[1]
        return mark

    mark = server.write(server.keys.schedulers, write)
    latency = time.perf_counter() - start
    if server.take_mark(mark):
        mark = server.client.execute_command(*server.installation.read_command().words)
    return latency, mark


def _newest(server: Server, queues: int) -> list[QueueKeys]:
    """Return all queues, of very many the newest."""
    words: Words = ("SMEMBERS", server.keys.queues) if queues <= NEWEST else ("LRANGE", server.keys.newest, 0, -1)
    return [server.keys.for_queue(name) for name in sorted({text(name) for name in ask(server.client, [words])[0]})]


def _unserved(server: Server, now: int, every: Sequence[QueueKeys], noted: bytes | None, *, all_of: bool) -> Unserved:
    """Return the queues with jobs and no worker: of `every`, and, unless those are all, of the scheduler's record."""
    waits = ask(server.client, [_whether_jobs_wait(keys) for keys in every])
    waiting = [keys for keys, count in zip(every, waits, strict=True) if count]
    served = ask(server.client, [("ZCOUNT", keys.workers, now, "+inf") for keys in waiting])
    found = [keys.queue for keys, workers in zip(waiting, served, strict=True) if not workers]
    known = Salvage().read("unserved", lambda: msgspec.json.decode(noted or b"", type=Unserved), None)
    if all_of or known is None:
        return Unserved(len(found), found[:NAMED])
    asked = {keys.queue for keys in every}
    others = [name for name in known.queues if name not in asked]
    gone = len(known.queues) - len(others) - sum(name in known.queues for name in found)
    count = known.count - gone + sum(name not in known.queues for name in found)
    return Unserved(max(count, len(found) + len(others)), (found + others)[:NAMED])


def _whether_jobs_wait(keys: QueueKeys) -> Words:
    pending = (keys.pending(priority) for priority in PRIORITIES)
    return ("EXISTS", keys.next, *pending, keys.tenant_ids, keys.throttled, *map(keys.of_state, TIMED))


def _reasons(unserved: Unserved) -> list[str]:
    named = [f"queue {name!r} has jobs and no worker: start one with {start_worker(name)}" for name in unserved.queues]
    if unserved.count > len(named):
        named.append(f"{unserved.count - len(named)} more queues have jobs and no worker: see `gopherctl stats`")
    return named
