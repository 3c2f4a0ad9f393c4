"""Connections to the server, for each form of `REDIS_URL`.

redis-py retries every command up to ten times by default, including writes and blocking pops: after a lost reply, a job
would be pushed twice. Connections created here never retry; `executor.py` does so where it is safe.
"""

import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from redis import exceptions
from redis.backoff import NoBackoff
from redis.client import Redis
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import (
    BlockingConnectionPool,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.retry import Retry

from gopher.base.address import ServerAddress
from gopher.compat import find_slots, free_places, socket_of
from gopher.config.settings import Settings

from .locator import ClusterMap, Sentinels

#: Timeouts in seconds for connecting, and for a free connection of the pool.
CONNECT_TIMEOUT = 1.0
POOL_TIMEOUT = 2.0

# TCP keep-alive in seconds: first probe, interval, and number of probes. A vanished peer is noticed within 20 s.
_KEEPALIVE: dict[int, int] = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class IdleConnections:
    """Idle connections of a pool, ready for the next call: taking one from redis-py's pool costs as much time as a
    small script. Threads may share it."""

    def __init__(self, pool: ConnectionPool, size: int) -> None:
        self._pool = pool
        self._size = size
        self._is_waited_for = isinstance(pool, BlockingConnectionPool)
        self._idle: deque[Any] = deque()
        self._owner = os.getpid()
        self._retired = False
        #: Pollers by descriptor, to check whether there is something to read.
        self._polls: dict[int, select.poll] = {}

    def take(self) -> Any:
        """Return an idle connection; connect it if need be."""
        connection = self._pop()
        if connection is None:
            connection = self._pool.get_connection()
            _let_the_kernel_wait(connection)
        return connection

    def lend(self) -> Any:
        """Return a connection for another user of the pool, as redis-py expects it, or None."""
        connection = self._pop()
        if connection is not None:
            _let_python_wait(connection)
        return connection

    def put(self, connection: Any) -> None:
        """Return a connection after all replies were read, or after it was disconnected."""
        if connection.is_connected and len(self._idle) < self._size and self._others_find_some():
            self._idle.append(connection)
        else:
            if self._retired:
                connection.disconnect()
            _let_python_wait(connection)
            self._pool.release(connection)

    def _others_find_some(self) -> bool:
        """Return whether the pool has free capacity: threads that wait for its connections don't see idle ones here."""
        return not self._is_waited_for or bool(free_places(self._pool))

    def retire(self) -> None:
        """Stop keeping connections: the node has left, or no longer serves the keys."""
        self._retired, self._size = True, 0
        self.clear()

    def clear(self) -> None:
        while self._idle:
            self._discard(self._idle.pop())

    def _pop(self) -> Any:
        if self._owner != os.getpid():
            # After a fork: the connections are the parent's.
            self._idle.clear()
            self._owner = os.getpid()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                # Another thread has created it.
                break
            if not self._speaks(connection):
                return connection
            # The server has closed it, which is better noticed before sending.
            self._discard(connection)
        return None

    def _discard(self, connection: Any) -> None:
        connection.disconnect()
        self._pool.release(connection)

    def _speaks(self, connection: Any) -> bool:
        descriptor = socket_of(connection).fileno()
        poll = self._polls.get(descriptor)
        if poll is None:
            poll = self._polls[descriptor] = select.poll()
            poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))


class SharingPool(BlockingConnectionPool):
    """redis-py's pool, extended to use `IdleConnections` when it is exhausted."""

    #: Set on first use.
    idle: IdleConnections | None = None

    def get_connection(self, *_names: Any, **_options: Any) -> Any:
        lent = self.idle.lend() if self.idle is not None and not free_places(self) else None
        return super().get_connection() if lent is None else lent  # type: ignore[no-untyped-call]


def _let_the_kernel_wait(connection: Any) -> None:
    """Let the kernel enforce a connection's timeout. Python polls before each send and receive, which takes a sixth of
    a call's time. The kernel restarts the timeout after a signal, and raises BlockingIOError."""
    sock, timeout = socket_of(connection), connection.socket_timeout
    # TLS sockets wait differently.
    if not timeout or type(sock) is not socket.socket:
        return
    limit = struct.pack("ll", int(timeout), max(int(timeout % 1 * 1e6), 1))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    sock.settimeout(None)
    if not os.get_blocking(sock.fileno()):
        # So do gevent's.
        sock.settimeout(timeout)


def _let_python_wait(connection: Any) -> None:
    """Let Python enforce the timeout again, as redis-py expects of connections in its pool."""
    if connection.is_connected:
        socket_of(connection).settimeout(connection.socket_timeout)


class LocatedConnection(Connection):
    """A connection that locates the server each time it connects."""

    def __init__(self, *, locate: Callable[[float], tuple[str, int]], **options: Any) -> None:
        self._locate = locate
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def connect_check_health(self, *arguments: Any, **named: Any) -> None:
        if not self.is_connected:
            self.host, self.port = self._locate(self.socket_connect_timeout or CONNECT_TIMEOUT)
        super().connect_check_health(*arguments, **named)


class Pools:
    """The source of connections: one pool, or one per node of a cluster."""

    def __init__(self, settings: Settings, size: int) -> None:
        address = settings.server_address
        options = _options(settings, address)
        self._size = size
        #: Whether another server takes over if one fails.
        self.fails_over = address.scheme in ("redis+sentinel", "redis+cluster")
        self._idle: dict[ConnectionPool, IdleConnections] = {}
        self._options = options
        self._cluster: RedisCluster | None = None
        if address.scheme == "redis+cluster":
            nodes = [ClusterNode(host, port) for host, port in address.hosts]
            # Without a limit: a pipeline takes a connection of each node that it uses, and threads that have one and
            # wait for another could deadlock. There are never more connections than threads.
            self._cluster = RedisCluster(startup_nodes=nodes, **options)
            self.client: Redis | RedisCluster = self._cluster
            #: For connections outside the pools; those in pools use redis-py's topology.
            self._map = ClusterMap(address.hosts, address.username, address.password)
            return
        self._pool = _pool(address, options, size)
        self.client = Redis(connection_pool=self._pool)

    @property
    def clustered(self) -> bool:
        return self._cluster is not None

    def pool_for(self, key: str) -> ConnectionPool:
        """Return the pool of the node of `key`."""
        if self._cluster is None:
            return self._pool
        node = self._cluster.get_node_from_key(key)
        return self._cluster.get_redis_connection(node).connection_pool

    def idle(self, key: str) -> IdleConnections:
        """Return the idle connections of the node of `key`."""
        pool = self.pool_for(key)
        return self._idle.get(pool) or self._make_idle(pool)

    def _make_idle(self, pool: ConnectionPool) -> IdleConnections:
        if isinstance(pool, SharingPool):
            pool.idle = self._idle.setdefault(pool, IdleConnections(pool, self._size - 1))
            return pool.idle
        return self._idle.setdefault(pool, IdleConnections(pool, self._size))

    def connection(self, key: str, **options: Any) -> Any:
        """Return a new, unconnected connection to the node of `key`, which belongs to no pool.

        It locates the server itself, so that creating and connecting it takes at most twice its
        `socket_connect_timeout`.
        """
        if self._cluster is not None:
            return LocatedConnection(locate=partial(self._map.locate, key), **self._options | options)
        # Not the pool's `make_connection`, which counts each permanently.
        return self._pool.connection_class(**self._pool.connection_kwargs | options)

    def doubt(self) -> None:
        """Make the next `connection` look up locations: a connection was lost, or its node is the wrong one."""
        if self._cluster is not None:
            self._map.doubt()

    def place_of(self, key: str) -> object:
        """Return an identifier shared by all keys that are always on the same node."""
        return None if self._cluster is None else self._cluster.keyslot(key)

    def refresh(self) -> None:
        """Refresh locations: a slot has moved, or the master has changed."""
        if self._cluster is None:
            for idle in list(self._idle.values()):
                idle.clear()
            self._pool.disconnect(inuse_connections=False)
            return
        try:
            find_slots(self._cluster)
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError):
            # Keep the known topology until a node responds.
            return
        primaries = {node.redis_connection.connection_pool for node in self._cluster.get_primaries()}
        for pool in self._idle.keys() - primaries:
            # Other threads may be about to return a connection there.
            self._idle.pop(pool).retire()

    def refresh_cluster(self) -> None:
        """Refresh a cluster's slots: a node has gone. Otherwise connections locate the server themselves."""
        if self._cluster is not None:
            self.refresh()

    def close(self) -> None:
        self.client.close()
        if self._cluster is None:
            # A client closes only a pool that it has created itself.
            self._pool.disconnect()


def _pool(address: ServerAddress, options: Mapping[str, Any], size: int) -> SharingPool:
    connection: Any
    place: dict[str, Any]
    if address.scheme == "redis+sentinel":
        sentinels = Sentinels(address.hosts, address.service)
        connection, place = LocatedConnection, {"locate": sentinels.locate}
    elif address.scheme == "unix":
        connection, place = UnixDomainSocketConnection, {"path": address.path}
    else:
        connection = SSLConnection if address.scheme == "rediss" else Connection
        host, port = address.hosts[0]
        place = {"host": host, "port": port}
    return SharingPool(  # type: ignore[no-untyped-call]
        max_connections=size, timeout=POOL_TIMEOUT, connection_class=connection, **place, **options
    )


def _options(settings: Settings, address: ServerAddress) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": min(CONNECT_TIMEOUT, settings.redis_timeout),
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
    }
    if address.scheme != "unix":
        options |= {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    if address.scheme == "rediss":
        options |= _tls(settings.redis_tls_verify)
    if address.scheme != "redis+cluster":
        options["db"] = address.db
    return options


def _tls(verify: str) -> dict[str, Any]:
    if verify == "none":
        return {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return {} if verify == "required" else {"ssl_ca_certs": verify}
