"""The state of the server, or of each primary of a cluster, that may endanger jobs: watched while processes run.

An operator may change a setting, a disk may fill up, or a replica fall behind, long after the checks at the start.
One INFO per node tells, and each process asks at most every ten seconds. Managed servers may not permit INFO, or leave
things out: then the state is unknown, which is no error.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gopher.base.durability import STORED, SYNCED
from gopher.base.durations import format_duration
from gopher.config.settings import Settings
from gopher.server.errors import ERRORS

if TYPE_CHECKING:
    from .store import Server

#: Seconds for which a state is used.
LOOK_EVERY = 10.0
#: Fraction of `maxmemory` above which submissions will soon be rejected. Eviction of finished jobs begins at 0.9.
FULL = 0.95
#: Seconds since a replica has confirmed anything; it does so every second.
LATE = 10.0
#: Fields of INFO that are `ok` unless the last one has failed.
WRITES = {
    "aof_last_write_status": "write to the append-only file",
    "aof_last_bgrewrite_status": "rewrite of the append-only file",
    "rdb_last_bgsave_status": "snapshot",
}


class Danger(NamedTuple):
    """Something that endangers jobs, and its remedy. The kind is the same for as long as it lasts."""

    kind: str
    message: str
    remedy: str


class NodeState(NamedTuple):
    """The state of one node; None for what it does not tell. Memory in bytes, lag in seconds."""

    policy: str | None = None
    evicted: int | None = None
    memory: int | None = None
    max_memory: int | None = None
    aof: bool | None = None
    #: What failed the last time it was tried.
    failing: tuple[str, ...] = ()
    replicas: int | None = None
    lag: float | None = None

    @property
    def fullness(self) -> float:
        """The used fraction of `maxmemory`, 0 if there is none."""
        return (self.memory or 0) / self.max_memory if self.max_memory else 0.0


def read_node(info: Mapping[str, Any]) -> NodeState:
    """Return the state from INFO."""
    replicas = [each for name, each in info.items() if name[:5] == "slave" and isinstance(each, dict)]
    online = [each for each in replicas if each.get("state") == "online"]
    aof = info.get("aof_enabled")
    return NodeState(
        policy=info.get("maxmemory_policy"),
        evicted=info.get("evicted_keys"),
        memory=info.get("used_memory"),
        max_memory=info.get("maxmemory"),
        aof=None if aof is None else bool(aof),
        failing=tuple(what for field, what in WRITES.items() if info.get(field, "ok") != "ok"),
        replicas=len(online) if "connected_slaves" in info else None,
        lag=max((float(each.get("lag", 0)) for each in online), default=None),
    )


def dangers_of(states: Mapping[str, NodeState], settings: Settings) -> list[Danger]:
    """Return what endangers jobs on any node."""
    several = len(states) > 1
    return [
        danger._replace(kind=f"{danger.kind} {name}", message=f"{name}: {danger.message}") if several else danger
        for name, state in sorted(states.items())
        for danger in (*_of_memory(state), *_of_disk(state), *replica_dangers(state, settings))
    ]


def _of_memory(state: NodeState) -> Iterator[Danger]:
    if state.policy not in (None, "noeviction"):
        message = f"the server's maxmemory-policy is {state.policy}: it silently drops jobs when memory runs out"
        yield Danger("eviction", message, "CONFIG SET maxmemory-policy noeviction")
    if state.fullness > FULL:
        message = f"{state.fullness:.0%} of the server's maxmemory is in use: submissions will be rejected"
        yield Danger("memory", message, "raise maxmemory, start more workers, or purge queues")


def _of_disk(state: NodeState) -> Iterator[Danger]:
    for what in state.failing:
        message = f"the server's last {what} failed: it may reject new jobs, and lose some in a crash"
        yield Danger(what, message, "free disk space on the server, and check its log")


def replica_dangers(state: NodeState, settings: Settings) -> Iterator[Danger]:
    """Yield what is wrong with the replicas of a node."""
    needed = needed_replicas(settings)
    if state.replicas is not None and state.replicas < needed:
        message = (
            f"submissions ask for durability {settings.durability}, and {state.replicas} of {needed} replicas are "
            "connected: they are answered with not_replicated"
        )
        yield Danger("replicas", message, "attach replicas, or set GOPHER_DURABILITY or the API key to stored")
    if state.lag is not None and state.lag > LATE:
        message = f"a replica has confirmed nothing for {format_duration(state.lag)}: a failover would lose jobs"
        yield Danger("lag", message, "check the replica and the network to it")


def needed_replicas(settings: Settings) -> int:
    """Return the number of replicas that submissions require by default."""
    if settings.durability == STORED:
        return 0
    return settings.durability_replicas if settings.durability == SYNCED else max(settings.durability_replicas, 1)


def changes(before: Mapping[str, NodeState], after: Mapping[str, NodeState]) -> Iterator[str]:
    """Yield what has become worse without being a danger that lasts."""
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if old.aof and new.aof is False:
            yield f"{name}: the append-only file was turned off: a crash of the server now loses jobs"
        if (new.replicas or 0) < (old.replicas or 0):
            yield f"{name}: a replica has disconnected; {new.replicas or 0} of {old.replicas} remain"
        if (new.evicted or 0) > (old.evicted or 0):
            yield f"{name}: the server has evicted {(new.evicted or 0) - (old.evicted or 0)} keys: jobs may be lost"


class ServerWatch:
    """The states of the nodes, as one process knows them. Threads share it."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._lock = threading.Lock()
        self._states: dict[str, NodeState] = {}
        self._look_at = 0.0

    def states(self) -> dict[str, NodeState]:
        """Return the state of each node by its address, at most ten seconds old; empty if it can't be known."""
        if time.monotonic() >= self._look_at and self._lock.acquire(blocking=False):
            try:
                self._states = {name: read_node(info) for name, info in _infos(self._server)}
            except ERRORS:
                self._states = {}
            finally:
                self._look_at = time.monotonic() + LOOK_EVERY
                self._lock.release()
        return self._states

    def dangers(self) -> list[Danger]:
        return dangers_of(self.states(), self._server.settings)


def _infos(server: "Server") -> Iterable[tuple[str, dict[str, Any]]]:
    if not server.pools.clustered:
        address = server.settings.server_address
        name = address.service or address.path or "{}:{}".format(*address.hosts[0])
        return [(name, server.client.info())]
    found: dict[str, Any] = server.client.info(target_nodes="primaries")
    # A dict by node if there are several.
    return [("cluster", found)] if "redis_version" in found else found.items()
