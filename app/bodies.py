"""What a thread gets as the body of a request. None of it ever waits for a client, except for lines.

A request whose body is long is checked before the body is received: the application gets its head with a `HeadOnly`,
answers if it rejects the request, and otherwise notes what the checks have found. It finds that again in the `Whole`.
"""

import io
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gunicorn.asgi.parser import ParseError  # type: ignore[import-untyped]
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout

from .capacity import LEAST_RATE, LONGEST_BULK

#: Bytes that are received at once.
PIECE = 64 * 1024
#: Longer bodies are received once the head has been checked. The check takes about as long as a small request.
LONG = 64 * 1024


#: What the check of the head notes for a request that may have a longer body than others: how long it may be.
LONGEST_BODY = "longest_body"


class HeadOnly(io.BytesIO):
    """The body of a request of which only the head is to be checked: empty so far."""

    def __init__(self, before: Mapping[str, Any] | None = None, *, is_long: bool) -> None:
        super().__init__()
        #: What an earlier check has found, when it was not known that the body is long.
        self.before = before
        self.is_long = is_long
        #: What the checks have found if they passed, for the same request with its body.
        self.checked: Mapping[str, Any] | None = None


class Whole(io.BytesIO):
    """A complete body. `before` is what the check of the head has found, None if there was none."""

    before: Mapping[str, Any] | None = None


class Stream(io.RawIOBase):
    """An NDJSON body, read by a thread as it arrives; not before `start`, when the sender is authenticated.

    A client may be slow: it has SERVER_READ_TIMEOUT, and LEAST_RATE bytes restore one second of it. Only time spent
    waiting for the client counts.
    """

    def __init__(self, connection: Any, incoming: Any) -> None:
        self._connection = connection
        self._incoming = incoming
        self._data: bytes | bytearray = b""
        self._left: float = connection.read_timeout
        self._ends_at: float | None = None

    def start(self) -> None:
        self._ends_at = time.monotonic() + LONGEST_BULK
        if self._incoming.wants_continue:
            with suppress(OSError):
                self._connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if self._ends_at is None:
            return 0
        while not self._data:
            self._data = self._incoming.take()
            if self._incoming.has_ended:
                break
            if not self._data:
                self._receive(self._ends_at)
        piece, self._data = self._data[: len(target)], self._data[len(target) :]
        target[: len(piece)] = piece
        return len(piece)

    def _receive(self, ends_at: float) -> None:
        sock = self._connection.sock
        began = time.monotonic()
        try:
            sock.settimeout(max(min(self._left, ends_at - began), 0.001))
            piece = sock.recv(PIECE)
        except TimeoutError:
            details = f"NDJSON bodies must arrive at {LEAST_RATE} or more bytes per second, within {LONGEST_BULK:g} s"
            raise RequestTimeout(details) from None
        except OSError as error:
            raise ClientDisconnected from error
        finally:
            sock.setblocking(False)
        if not piece:
            raise ClientDisconnected
        left = self._left + len(piece) / LEAST_RATE - (time.monotonic() - began)
        # Bytes sent early don't extend the timeout.
        self._left = min(left, self._connection.read_timeout)
        try:
            self._incoming.feed(piece)
        except ParseError as error:
            raise BadRequest(str(error)) from None
