"""redis-py as Gopher uses it: the parts that it needs, alike in all versions from 5.0 on.

Everything else imports redis-py from here.
"""

import inspect
from typing import TYPE_CHECKING, Any

from gopher.base import own_process

with own_process.importing_redis():
    import redis.exceptions as exceptions

from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    UnixDomainSocketConnection,
)
from redis.connection import ConnectionPool as _ConnectionPool
from redis.crc import key_slot
from redis.retry import Retry

from gopher.compat import socket_of

__all__ = [
    "NO_CLUSTER_RETRIES",
    "NO_DRIVER_INFO",
    "AbstractConnection",
    "BlockingConnectionPool",
    "Connection",
    "ConnectionPool",
    "NoBackoff",
    "Retry",
    "UnixConnection",
    "WholeConnection",
    "disconnect_idle",
    "exceptions",
    "key_slot",
]


def _takes(function: Any, name: str) -> bool:
    return name in inspect.signature(function).parameters


_IS_6 = hasattr(AbstractConnection, "connect_check_health")
#: Options of connections that do not tell the server the name and version of redis-py.
_TELLS = ("driver_info",) if _takes(AbstractConnection, "driver_info") else ("lib_name", "lib_version")
NO_DRIVER_INFO: dict[str, Any] = dict.fromkeys(_TELLS)
#: Options of its cluster, in addition to connections that never retry.
NO_CLUSTER_RETRIES: dict[str, Any] = {} if _IS_6 else {"cluster_error_retry_attempts": 0}
#: `get_connection` of older versions requires the name of a command, which it does not use.
_needed = (
    inspect.signature(_ConnectionPool.get_connection).parameters["command_name"].default is inspect.Parameter.empty
)
_NAME = ("",) if _needed else ()


class ConnectionPool(_ConnectionPool):
    def get_connection(self, *_names: Any, **_options: Any) -> Any:
        return super().get_connection(*_NAME)


def disconnect_idle(pool: BlockingConnectionPool) -> None:
    """Disconnect the connections of a pool that are not in use."""
    if _takes(BlockingConnectionPool.disconnect, "inuse_connections"):
        pool.disconnect(inuse_connections=False)
        return
    # Older versions disconnect all of them.
    for connection in list(pool.pool.queue):
        if connection is not None:
            connection.disconnect()


class _Older(AbstractConnection):
    """A mixin that adds what connections have since version 6: hooks for connecting, and whether they are connected."""

    def connect(self) -> None:
        self.connect_check_health()

    def connect_check_health(self, *_arguments: Any, **_named: Any) -> None:
        super().connect()  # type: ignore[no-untyped-call]

    def on_connect(self) -> None:
        self.on_connect_check_health()

    def on_connect_check_health(self, *_arguments: Any, **_named: Any) -> None:
        super().on_connect()  # type: ignore[no-untyped-call]


class _Unmarked(AbstractConnection):
    """A mixin that adds `is_connected`, which connections have since version 8."""

    @property
    def is_connected(self) -> bool:
        return bool(socket_of(self))


if TYPE_CHECKING:

    class Hooked(AbstractConnection): ...

else:
    #: The base of Gopher's connections, before redis-py's class.
    Hooked = type(
        "Hooked",
        tuple(
            mixin
            for mixin, name in ((_Unmarked, "is_connected"), (_Older, "connect_check_health"))
            if not hasattr(AbstractConnection, name)
        )
        or (AbstractConnection,),
        {},
    )


class WholeConnection(Hooked):
    """A mixin for connections that are either closed, or logged in and in their database.

    redis-py leaves one open if an exception that is not its own (a timeout's, Ctrl-C) arrives between the two: it would
    be used as it is.
    """

    def connect_check_health(self, *arguments: Any, **named: Any) -> None:
        try:
            super().connect_check_health(*arguments, **named)
        except BaseException:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class UnixConnection(WholeConnection, UnixDomainSocketConnection):
    """A connection through a unix socket."""

    def __init__(self, *, socket_timeout: float | None = None, **options: Any) -> None:
        super().__init__(socket_timeout=socket_timeout, **options)  # type: ignore[no-untyped-call]
        # Version 5.0 forgets it.
        self.socket_timeout = socket_timeout
