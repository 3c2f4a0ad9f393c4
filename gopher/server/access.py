"""How servers and sentinels are accessed: with TLS or without, and with which credentials."""

import socket
import ssl
from functools import cache
from typing import Any

import msgspec

from gopher.base.address import ServerAddress

from .tls import Tls


class Access(msgspec.Struct, frozen=True):
    """TLS and credentials of connections to servers, or to sentinels."""

    tls: Tls | None = None
    username: str | None = None
    password: str | None = None

    def login(self) -> list[tuple[Any, ...]]:
        """Return the commands that a connection begins with."""
        if not self.username and not self.password:
            return []
        return [("AUTH", self.username or "default", self.password or "")]

    def secure(self, connection: socket.socket, host: str) -> "socket.socket | EncryptedSocket":
        """Return what to use in place of a non-blocking connection to a host that is being established."""
        return connection if self.tls is None else EncryptedSocket(connection, self.tls, host)


#: Neither TLS nor a password.
OPEN = Access()


@cache
def access_of(address: ServerAddress) -> tuple[Access, Access]:
    """Return the access to the servers, and to the sentinels if there are any. Raises ConfigurationError."""
    tls = Tls(address.tls) if address.tls else None
    user, password = address.option("sentinel_username") or None, address.option("sentinel_password") or None
    return (
        Access(tls if address.uses_tls else None, address.username, address.password),
        Access(tls if address.sentinels_use_tls else None, user, password),
    )


class EncryptedSocket:
    """TLS over a non-blocking socket, with the methods of one that a selector and its callers need."""

    def __init__(self, connection: socket.socket, tls: Tls, host: str) -> None:
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._incoming, self._outgoing, host)
        self._is_ready = False
        self._unsent = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> int:
        """Accept all of it: until the handshake is done, `recv` sends it."""
        self._unsent += data
        self._advance()
        return len(data)

    def sendall(self, data: bytes) -> None:
        self.send(data)

    def recv(self, size: int) -> bytes | None:
        """Return decrypted bytes, none at the end of the connection, or None if there are none yet."""
        data = self._socket.recv(size)
        self._incoming.write(data) if data else self._incoming.write_eof()
        self._advance()
        decrypted = b""
        try:
            while self._is_ready and (piece := self._tls.read(size)):
                decrypted += piece
        except ssl.SSLWantReadError:
            return decrypted or None
        except ssl.SSLZeroReturnError:
            pass
        return decrypted if self._is_ready else None

    def _advance(self) -> None:
        """Continue the handshake, then send."""
        try:
            if not self._is_ready:
                self._tls.do_handshake()
                self._is_ready = True
            if self._unsent:
                self._tls.write(self._unsent)
                self._unsent = b""
        except ssl.SSLWantReadError:
            pass
        finally:
            # Also an alert, which tells the server what is wrong. Some hundred bytes fit into the socket's buffer.
            if encrypted := self._outgoing.read():
                self._socket.send(encrypted)

    def __enter__(self) -> "EncryptedSocket":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
