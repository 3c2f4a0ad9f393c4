"""The open connections to a master that Sentinel may replace, so that all of them can be dropped at once."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from gopher.compat import socket_of

from .redis_py import AbstractConnection, exceptions
from .resolver import Address, resolver
from .server_connection import ServerConnection


class OpenConnections:
    """Open connections, in pools, in use and those of event loops. Threads may share it."""

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self._owner = os.getpid()
        # Reentrant, since a connection that is garbage-collected meanwhile removes itself.
        self._lock = threading.RLock()
        self._open: WeakSet[Located] = WeakSet()

    def add(self, connection: "Located") -> None:
        self._check_process()
        with self._lock:
            self._open.add(connection)

    def discard(self, connection: "Located") -> None:
        self._check_process()
        with self._lock:
            self._open.discard(connection)

    def drop_others(self, master: Address) -> None:
        """End all connections to other addresses. Threads and event loops that use one reconnect at once."""
        self._check_process()
        # The lock prevents that one is closed, and its descriptor used for something else, meanwhile.
        with self._lock:
            for connection in list(self._open):
                if (connection.host, connection.port) != master:
                    # The socket's own method: an SSL socket's would also end the encryption of what is sent afterwards.
                    with suppress(OSError):
                        socket.socket.shutdown(socket_of(connection), socket.SHUT_RDWR)

    def _check_process(self) -> None:
        if self._owner != os.getpid():
            self._start_over()


class Located(AbstractConnection):
    """A mixin for connections that locate the server each time they connect."""

    host: str
    port: int

    def __init__(
        self,
        *,
        locate: Callable[[float], Address],
        open_connections: OpenConnections | None = None,
        still_there: Callable[[Address], bool] | None = None,
        **options: Any,
    ) -> None:
        self._locate, self._open, self._still_there = locate, open_connections, still_there
        super().__init__(**options)

    def connect_check_health(self, *arguments: Any, **named: Any) -> None:
        if self.is_connected:
            super().connect_check_health(*arguments, **named)
            return
        limit = self.socket_connect_timeout or 1.0
        self.host, self.port = self._locate(limit)
        resolver.require((self.host, self.port), limit)
        super().connect_check_health(*arguments, **named)
        if self._open is not None:
            self._open.add(self)
        # It may have been replaced since it was located.
        if self._still_there is not None and not self._still_there((self.host, self.port)):
            self.disconnect()
            raise exceptions.ConnectionError("the master has changed")

    def disconnect(self, *arguments: Any, **named: Any) -> None:
        if self._open is not None:
            self._open.discard(self)
        super().disconnect(*arguments, **named)  # type: ignore[no-untyped-call]


class LocatedConnection(Located, ServerConnection):
    """A connection that locates the server."""
