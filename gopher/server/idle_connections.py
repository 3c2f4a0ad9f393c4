"""Idle connections that are ready for the next call, and the pool that shares them with redis-py's client."""

import os
import queue
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gopher.compat import add_places, free_places, hold_weakly, socket_of

from .errors import CONNECTION_ERRORS
from .exchange import read_reply
from .made_connections import MadeConnections
from .redis_py import BlockingConnectionPool, ConnectionPool, exceptions

#: Seconds of idleness after which a connection is checked before use: something on the way may have forgotten it, and
#: drops what is sent without a reply.
IDLE = 2.0
#: Timeout of the check, in seconds.
CHECK = 0.5
#: Timeout of a call's first attempt, in seconds: the next one, on a new connection, has the configured timeout.
FIRST_ATTEMPT = 1.0


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
            self._prepare(connection, FIRST_ATTEMPT)
        return connection

    def take_proven(self, since: float) -> Any:
        """Return a new connection, or one that has worked since then (monotonic s), with the configured timeout.

        Another one did not respond, so those that are as old may be dead, too.
        """
        connection = self._pop()
        while connection is not None and connection.idle_since < since:
            self._discard(connection)
            connection = self._pop()
        if connection is None:
            connection = self._pool.get_connection()
            _renew(self._pool, connection, since)
        self._prepare(connection, connection.socket_timeout)
        return connection

    def _prepare(self, connection: Any, timeout: float | None) -> None:
        """Set the timeout of a connection that was taken."""
        try:
            _let_the_kernel_wait(connection, timeout)
        except BaseException as error:
            self._discard(connection)
            if isinstance(error, AttributeError):
                # Another thread has disconnected it, since the master has changed.
                raise exceptions.ConnectionError("the connection was closed meanwhile") from error
            raise

    def put_back_proven(self, connection: Any) -> None:
        """Return a connection that `take_proven` has returned."""
        if connection.is_connected:
            _let_the_kernel_wait(connection, FIRST_ATTEMPT)
        self.put(connection)

    def lend(self) -> Any:
        """Return a connection for another user of the pool, as redis-py expects it, or None."""
        connection = self._pop()
        if connection is not None:
            _let_python_wait(connection)
        return connection

    def put(self, connection: Any) -> None:
        """Return a connection after all replies were read, or after it was disconnected."""
        if connection.is_connected and len(self._idle) < self._size and self._others_find_some():
            connection.idle_since = time.monotonic()
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
        self._leave_to_the_parent()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                # Another thread has taken it.
                return
            self._discard(connection)

    def _leave_to_the_parent(self) -> None:
        """Forget the connections of before a fork."""
        if self._owner != os.getpid():
            self._idle.clear()
            self._owner = os.getpid()

    def _pop(self) -> Any:
        self._leave_to_the_parent()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                # Another thread has taken it.
                break
            try:
                # If it does, the server has closed it, which is better noticed before sending.
                speaks = self._speaks(connection)
                if not speaks and is_alive(connection):
                    return connection
            except (AttributeError, OSError, ValueError):
                # Another thread has disconnected it.
                speaks = True
            self._discard(connection)
            if not speaks:
                # The others may be as dead, and each check takes a while.
                self.clear()
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


class CheckedPool(ConnectionPool):
    """redis-py's pool, extended to check connections that were idle for long, and to forget those that were lost by an
    interrupted call (a timeout's exception, Ctrl-C): nothing refers to them any more, so they are closed."""

    _retired = False

    def reset(self) -> None:
        super().reset()
        self._made = MadeConnections()
        hold_weakly(self, self._made)

    def get_connection(self, *_names: Any, **_options: Any) -> Any:
        connection = super().get_connection()
        if not is_alive(connection):
            _renew(self, connection, time.monotonic())
        return connection

    def release(self, connection: Any) -> None:
        if self._retired:
            connection.disconnect()
        connection.idle_since = time.monotonic()
        super().release(connection)

    def retire(self) -> None:
        """Close all connections, those in use once they are returned: the node has left the cluster."""
        self._retired = True
        self.disconnect(inuse_connections=False)


class SharingPool(CheckedPool, BlockingConnectionPool):
    """redis-py's pool, extended to use `IdleConnections` when it is exhausted."""

    #: Set on first use.
    idle: IdleConnections | None = None
    #: Called before a connection is handed out.
    before_use: Callable[[], None] | None = None

    def __init__(self, **options: Any) -> None:
        self._freeing = threading.Lock()
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def get_connection(self, *_names: Any, **_options: Any) -> Any:
        if self.before_use is not None:
            self.before_use()
        lent = self.idle.lend() if self.idle is not None and not free_places(self) else None
        if lent is not None:
            return lent
        try:
            return super().get_connection()
        except exceptions.ConnectionError as error:
            if not isinstance(error.__context__, queue.Empty) or not self._free_lost_places():
                raise
        return super().get_connection()

    def _free_lost_places(self) -> bool:
        """Free the places of connections that were lost by interrupted calls; return whether there are free ones."""
        with self._freeing:
            # Another thread may have done it.
            if not free_places(self):
                # All connections that exist are in use.
                add_places(self, self.max_connections - len(self._made))
            return bool(free_places(self))


def is_alive(connection: Any) -> bool:
    """Return whether a connection is new, or was used a moment ago, or the server responds on it."""
    if time.monotonic() - getattr(connection, "idle_since", float("inf")) < IDLE or not connection.is_connected:
        return True
    sock = socket_of(connection)
    before = sock.gettimeout()
    sock.settimeout(min(CHECK, connection.socket_timeout or CHECK))
    try:
        connection.send_command("PING", check_health=False)
        # Any reply will do.
        read_reply(connection)
    except CONNECTION_ERRORS:
        return False
    sock.settimeout(before)
    return True


def _renew(pool: ConnectionPool, connection: Any, since: float) -> None:
    """Reconnect a connection of a pool if it was last used before then."""
    if getattr(connection, "idle_since", float("inf")) >= since:
        return
    try:
        connection.disconnect()
        connection.connect()
    except BaseException:
        pool.release(connection)
        raise


def _let_the_kernel_wait(connection: Any, timeout: float | None) -> None:
    """Let the kernel enforce a timeout. Python polls before each send and receive: a sixth of a call's time.
    The kernel restarts the timeout after a signal, and raises BlockingIOError."""
    sock = socket_of(connection)
    if not timeout or not connection.socket_timeout:
        return
    timeout = min(timeout, connection.socket_timeout)
    # TLS sockets wait differently.
    if type(sock) is not socket.socket:
        sock.settimeout(timeout)
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
