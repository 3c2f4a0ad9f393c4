"""A TCP connection to the server, with TLS or without."""

from typing import Any, ClassVar

from gopher.base.endpoints import format_endpoint
from gopher.compat import replace_socket, socket_of

from .access import Access
from .exchange import read_reply
from .redis_py import Connection, WholeConnection, exceptions
from .tls import Tls
from .tls_errors import AFTER_HANDSHAKE, explain

#: Error replies that are ConnectionErrors to redis-py.
_REPLIES = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.BusyLoadingError)


#: What a connection can fail with.
_LOST = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.InvalidResponse, OSError)


#: Addresses that have answered, with TLS or without: what fails there later has other reasons, and needs no probe.
_answering: set[tuple[str, int, bool]] = set()


class ServerConnection(WholeConnection, Connection):
    """A connection that uses TLS if `tls` is set, and explains errors of it."""

    tls: ClassVar[Tls | None] = None

    def __init__(self, *, may_probe: bool = True, **options: Any) -> None:
        """Event loops can't wait for a probe of the server."""
        self._may_probe = may_probe
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def on_connect_check_health(self, *arguments: Any, **named: Any) -> None:
        if self.tls is None:
            super().on_connect_check_health(*arguments, **named)
            return
        self._encrypt(self.tls)
        try:
            super().on_connect_check_health(*arguments, **named)
            # Session tickets and alerts arrive at any time after the handshake, but before the first reply. Unread,
            # they would look like the reply to nothing.
            self.send_command("PING", check_health=False)  # type: ignore[no-untyped-call]
            read_reply(self)
        except (*_REPLIES, exceptions.TimeoutError, TimeoutError):
            raise
        except _LOST as error:
            problem = exceptions.ConnectionError(f"the connection ended after the TLS handshake: {AFTER_HANDSHAKE}")
            raise self.explained(problem, error) from error

    def _encrypt(self, tls: Tls) -> None:
        connection = socket_of(self)
        connection.settimeout(self.socket_connect_timeout)
        try:
            encrypted = tls.wrap(connection, self.host)
        except (OSError, ValueError) as error:
            timed_out = isinstance(error, TimeoutError)
            problem = exceptions.ConnectionError(
                f"the TLS handshake {'timed out' if timed_out else f'failed: {error}'}"
            )
            raise self.explained(problem, error, may_probe=True) from error
        encrypted.settimeout(self.socket_timeout)
        replace_socket(self, encrypted)

    def read_response(self, *arguments: Any, **named: Any) -> Any:
        try:
            reply = super().read_response(*arguments, **named)
        except _LOST as error:
            explained = self.explained(error)
            if explained is error:
                # From itself, it would have itself as its cause.
                raise
            raise explained from error
        if self._may_probe:
            self._may_probe = False
            _answering.add((self.host, self.port, self.tls is not None))
        return reply

    def explained(self, error: Exception, cause: Exception | None = None, *, may_probe: bool = False) -> Exception:
        """Return the error, or one that explains it if TLS is the reason."""
        if isinstance(error, _REPLIES):
            return error
        if self.tls is None:
            # Servers with TLS respond to what they can't decrypt by closing the connection.
            may_probe = not isinstance(error, exceptions.TimeoutError)
        encrypted = self.tls is not None
        may_probe = may_probe and self._may_probe and (self.host, self.port, encrypted) not in _answering
        text = explain(cause or error, self.host, self.port, encrypted=encrypted, may_probe=may_probe)
        return (
            error if text is None else exceptions.ConnectionError(f"{format_endpoint((self.host, self.port))}: {text}")
        )


def with_tls(base: type[ServerConnection], access: Access) -> type[ServerConnection]:
    """Return the class of connections with this access. redis-py's cluster passes them no options of ours."""
    return base if access.tls is None else type(f"Tls{base.__name__}", (base,), {"tls": access.tls})
