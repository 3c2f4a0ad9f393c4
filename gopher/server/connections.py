"""Connections to the server, for each form of `REDIS_URL`.

redis-py retries every command up to ten times by default, including writes and blocking pops: after a lost reply, a job
would be pushed twice. Connections created here never retry; `executor.py` does so where it is safe.
"""

import copy
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.client import Redis
from redis.cluster import ClusterNode, RedisCluster

from gopher.base.address import ServerAddress
from gopher.base.causes import causes
from gopher.base.endpoints import format_endpoint
from gopher.compat import find_slots, node_pools
from gopher.config.settings import Settings

from .access import access_of
from .idle_connections import CheckedPool, IdleConnections, SharingPool
from .redis_py import (
    NO_CLUSTER_RETRIES,
    NO_DRIVER_INFO,
    ConnectionPool,
    NoBackoff,
    Retry,
    UnixConnection,
    disconnect_idle,
    exceptions,
    key_slot,
)
from .resolver import resolver
from .server_connection import ServerConnection, with_tls

if TYPE_CHECKING:
    from .master_watch import SentinelGroup
    from .sentinel_watch import SentinelWatch

#: Timeouts in seconds for connecting, and for a free connection of the pool.
CONNECT_TIMEOUT = 1.0
POOL_TIMEOUT = 2.0
#: Maximum number of connections to a node of a cluster: redis-py's own is 100 since version 8.
UNLIMITED = 2**31

# TCP keep-alive in seconds: first probe, interval, and number of probes. A vanished peer is noticed within 20 s.
_KEEPALIVE: dict[int, int] = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class Pools:
    """The source of connections: one pool, or one per node of a cluster."""

    def __init__(self, settings: Settings, size: int) -> None:
        self._address = address = settings.server_address
        options = _options(settings, address)
        self._size = size
        self._timeout = settings.redis_timeout
        #: Whether another server takes over if one fails.
        self.fails_over = address.is_sentinel or address.is_cluster
        self._idle: dict[ConnectionPool, IdleConnections] = {}
        self._options = options
        self._cluster: RedisCluster | None = None
        #: Why it could not be created, and when that was found out (monotonic s).
        self._unreached: tuple[Exception, float] | None = None
        #: Pools of the cluster's nodes when they were last looked up.
        self._node_pools: set[CheckedPool] = set()
        self._refreshing = threading.Lock()
        #: The one server that event loops connect to by its name.
        self._host = address.hosts[0] if address.hosts and not self.fails_over else None
        self._sentinel = _group(address) if address.is_sentinel else None
        if address.is_cluster:
            from .locator import ClusterMap
            from .open_connections import LocatedConnection

            #: For connections outside the pools; those in pools use redis-py's topology.
            self._map = ClusterMap(address.hosts, access_of(address)[0], address.address_map)
            self._located = with_tls(LocatedConnection, access_of(address)[0])
            return
        self._pool = _pool(address, options, size, self._sentinel)
        self._client = Redis(connection_pool=self._pool)

    @property
    def clustered(self) -> bool:
        return self._address.is_cluster

    @property
    def client(self) -> Redis | RedisCluster:
        """redis-py's client. Raises its errors while no node of a cluster has responded yet."""
        return self._reached_cluster() if self.clustered else self._client

    def _reached_cluster(self) -> RedisCluster:
        """Return redis-py's client of a cluster, which can only be created once a node responds."""
        if self._cluster is not None:
            return self._cluster
        asked = time.monotonic()
        # One thread looks it up, which takes a while on a busy machine; the others wait for what it finds.
        if not self._refreshing.acquire(timeout=self._timeout):
            raise exceptions.ConnectionError("no node of the cluster responds")
        try:
            return self._look_up_cluster(asked)
        finally:
            self._refreshing.release()

    def _look_up_cluster(self, asked: float) -> RedisCluster:
        # Another thread may have done it since this one asked.
        if self._cluster is not None:
            return self._cluster
        if self._unreached is not None and self._unreached[1] >= asked:
            # A new one for each, since each is raised in a different thread.
            raise copy.copy(self._unreached[0])
        try:
            cluster = _cluster(self._address, self._options)
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
            # Not itself, which holds on to what was running.
            self._unreached = copy.copy(error), time.monotonic()
            raise
        self._node_pools, self._cluster = node_pools(cluster), cluster
        return cluster

    def pool_for(self, key: str) -> ConnectionPool:
        """Return the pool of the node of `key`."""
        if not self.clustered:
            return self._pool
        cluster = self._reached_cluster()
        node: Any = cluster.get_redis_connection(cluster.get_node_from_key(key))
        pool: ConnectionPool = node.connection_pool
        return pool

    def idle(self, key: str) -> IdleConnections:
        """Return the idle connections of the node of `key`."""
        self.look()
        pool = self.pool_for(key)
        return self._idle.get(pool) or self._make_idle(pool)

    def _make_idle(self, pool: ConnectionPool) -> IdleConnections:
        if isinstance(pool, SharingPool):
            pool.idle = self._idle.setdefault(pool, IdleConnections(pool, self._size - 1))
            return pool.idle
        return self._idle.setdefault(pool, IdleConnections(pool, self._size))

    def look(self) -> None:
        """Have the master watched if Sentinel may replace it; called before a connection is used."""
        if self._sentinel is not None:
            self._sentinel.look()

    @property
    def master_number(self) -> int:
        """A number that changes with the master that Sentinel names; 0 without Sentinel."""
        return 0 if self._sentinel is None else self._sentinel.number

    def is_for_good(self, address: tuple[str, int]) -> bool | None:
        """Ask the Sentinels whether none is replacing the server of this address; None if too few of them reply."""
        return True if self._sentinel is None else self._sentinel.is_for_good(address)

    def connection(self, key: str, *, may_probe: bool = False, **options: Any) -> Any:
        """Return a new, unconnected connection to the node of `key`, which belongs to no pool.

        It locates the server itself, so that creating and connecting it takes at most twice its
        `socket_connect_timeout`. Event loops can't wait for a probe that explains errors.
        """
        if self._address.scheme != "unix":
            options["may_probe"] = may_probe
        if self.clustered:
            return self._located(locate=partial(self._map.locate, key), **self._options | options)
        if self._host is not None:
            resolver.require(self._host, options.get("socket_connect_timeout", CONNECT_TIMEOUT))
        # Not the pool's `make_connection`, which counts each permanently.
        return self._pool.connection_class(**self._pool.connection_kwargs | options)

    def watch_in(self, selector: selectors.BaseSelector) -> "SentinelWatch | None":
        """Return what the loop of this selector has to run, so that connections to a demoted master are dropped."""
        return None if self._sentinel is None else self._sentinel.watch_in(selector)

    def doubt(self) -> None:
        """Make the next `connection` look up locations: a connection was lost, or its node is the wrong one."""
        if self.clustered:
            self._map.doubt()

    def place_of(self, key: str) -> object:
        """Return an identifier shared by all keys that are always on the same node."""
        return key_slot(key.encode()) if self.clustered else None

    def node_of(self, key: str, limit: float | None = None) -> object:
        """Return an identifier of the node of `key`; in a cluster, None if it has to be found out, with a `limit` (s).

        Raises redis-py's ConnectionError.
        """
        if not self.clustered:
            return ""
        return self._map.known(key) if limit is None else self._map.locate(key, limit)

    def refresh(self) -> None:
        """Refresh locations: a slot has moved, or the master has changed."""
        if not self.clustered:
            for idle in list(self._idle.values()):
                idle.clear()
            disconnect_idle(self._pool)
            return
        if self._cluster is None or not self._refreshing.acquire(blocking=False):
            # Another thread does it, which may take a while if a node hangs.
            return
        try:
            find_slots(self._cluster)
            self._retire_nodes_that_left(self._cluster)
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError):
            # Keep the known topology until a node responds.
            return
        finally:
            self._refreshing.release()
        primaries = {node.redis_connection.connection_pool for node in self._cluster.get_primaries()}
        for pool in self._idle.keys() - primaries:
            # Other threads may be about to return a connection there.
            self._idle.pop(pool).retire()

    def _retire_nodes_that_left(self, cluster: RedisCluster) -> None:
        before, self._node_pools = self._node_pools, node_pools(cluster)
        for pool in before - self._node_pools:
            pool.retire()

    def refresh_cluster(self) -> None:
        """Refresh a cluster's slots: a node has gone. Otherwise connections locate the server themselves."""
        if self.clustered:
            self.refresh()

    def close(self) -> None:
        """Close all connections. The next call opens others."""
        if self._cluster is not None:
            # Not redis-py's client itself, which would forget how to find keys.
            for pool in self._node_pools | node_pools(self._cluster):
                pool.disconnect()
        if not self.clustered:
            self._pool.disconnect()
        for idle in list(self._idle.values()):
            idle.clear()
        if self._sentinel is not None:
            self._sentinel.close()


def _group(address: ServerAddress) -> "SentinelGroup":
    from .master_watch import SentinelGroup

    return SentinelGroup(address)


def _cluster(address: ServerAddress, options: Mapping[str, Any]) -> RedisCluster:
    try:
        # Without a limit: a pipeline takes a connection of each node that it uses, and threads that have one and wait
        # for another could deadlock. There are never more connections than threads.
        return RedisCluster(
            # Only with a URL does it use other classes of pools and connections.
            url=f"redis://{format_endpoint(address.hosts[0])}",
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts[1:]],
            connection_pool_class=CheckedPool,
            connection_class=with_tls(ServerConnection, access_of(address)[0]),
            max_connections=UNLIMITED,
            address_remap=address.address_map,
            # Otherwise it would use the address in a MOVED reply as it is.
            reinitialize_steps=1 if address.address_map else 5,
            **NO_CLUSTER_RETRIES,
            **options,
        )
    except exceptions.RedisClusterException as error:
        problem = _underlying(error)
    # Not from the error that it has caused: their causes would form a circle.
    raise problem


def _underlying(error: exceptions.RedisClusterException) -> Exception:
    """Return why redis-py can't use a cluster: it reports every error reply as a server that is no cluster."""
    for cause in causes(error):
        if isinstance(cause, exceptions.RedisError) and not isinstance(cause, exceptions.RedisClusterException):
            return cause
    return error


def _pool(address: ServerAddress, options: Mapping[str, Any], size: int, group: "SentinelGroup | None") -> SharingPool:
    connection: Any
    place: dict[str, Any]
    if group is not None:
        from .open_connections import LocatedConnection

        connection, place = LocatedConnection, group.options
    elif address.scheme == "unix":
        connection, place = UnixConnection, {"path": address.path}
    else:
        host, port = address.hosts[0]
        connection, place = ServerConnection, {"host": host, "port": port}
    if address.scheme != "unix":
        connection = with_tls(connection, access_of(address)[0])
    pool = SharingPool(max_connections=size, timeout=POOL_TIMEOUT, connection_class=connection, **place, **options)
    if group is not None:
        pool.before_use = group.look
    return pool


def _options(settings: Settings, address: ServerAddress) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": min(CONNECT_TIMEOUT, settings.redis_timeout),
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        **NO_DRIVER_INFO,
    }
    if address.scheme != "unix":
        options |= {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    if not address.is_cluster:
        options["db"] = address.db
    return options
