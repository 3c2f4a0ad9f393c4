"""Incoming requests: gunicorn's parser reads the complete head, and the body is decoded as it arrives.

Nothing here blocks. A thread gets a request with its complete body, or with a `Stream` of NDJSON lines.
"""

import io
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.body import ChunkedReader  # type: ignore[import-untyped]
from gunicorn.http.errors import NoMoreData, ParseException  # type: ignore[import-untyped]
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.http.unreader import IterUnreader  # type: ignore[import-untyped]
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestTimeout

from gopher.compat import take_expectation

from .capacity import LEAST_RATE, LONGEST_BULK
from .framing import Chunked, Decoder, Sized
from .lines import TYPES
from .refusals import Refused, refused

#: Maximum bytes of a request's head. gunicorn_conf limits its lines.
LONGEST_HEAD = 64 * 1024
PIECE = 64 * 1024


class Incoming:
    """The next request of a connection; `buffer` has the bytes received so far."""

    def __init__(self, connection: Any, longest_body: int) -> None:
        self.request: Any = None
        #: Whether the client waits for `100 Continue` before it sends the body.
        self.waits_to_be_asked = False
        #: Used by the worker: the size that it has counted.
        self.counted = 0
        self._connection = connection
        self._buffer: bytearray = connection.buffer
        self._longest_body = longest_body
        self._searched = 0
        self._decoder: Decoder | None = None
        self._body = bytearray()

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return len(self._buffer) + len(self._body)

    @property
    def has_begun(self) -> bool:
        return bool(self._buffer) or self.request is not None

    @property
    def given_id(self) -> str:
        """The client's own request id, "" without one."""
        return next((value for name, value in self._headers if name == "X-REQUEST-ID"), "")

    @property
    def _headers(self) -> list[tuple[str, str]]:
        return self.request.headers if self.request is not None else []

    def advance(self) -> bool:
        """Process received bytes; return whether the request is ready for a thread. Raises Refused."""
        try:
            if self._decoder is None:
                head = self._take_head()
                if head is None:
                    return False
                self._decoder = self._begin(head)
            return self._take_body(self._decoder)
        except (ParseException, NoMoreData, StopIteration) as error:
            raise refused(error) from None

    def _take_head(self) -> bytes | None:
        end = self._buffer.find(b"\r\n\r\n", max(self._searched - 3, 0)) + 4
        if end < 4:
            self._searched = len(self._buffer)
            if self._searched > LONGEST_HEAD:
                raise Refused(431, f"the request's head is longer than {LONGEST_HEAD} bytes")
            # Lines end with CRLF: this head would never be complete.
            if self._buffer.endswith(b"\n\n"):
                raise Refused(400, "header lines must end with CR LF")
            return None
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        return head

    def _begin(self, head: bytes) -> Decoder:
        connection = self._connection
        self.request = request = Request(connection.cfg, IterUnreader((head,)), connection.client)
        headers = dict(request.headers)
        if "HOST" not in headers and request.version >= (1, 1):
            raise Refused(400, "HTTP/1.1 requires a Host header")
        if not isinstance(request.body.reader, ChunkedReader):
            return Sized(request.body.reader.length)
        codings = ",".join(value.lower() for name, value in request.headers if name == "TRANSFER-ENCODING")
        # gunicorn does not decompress bodies.
        if not {coding.strip() for coding in codings.split(",")} <= {"chunked", "identity"}:
            raise Refused(501, f"Transfer-Encoding {codings[:60]!r} is not supported: send only chunked")
        return Chunked(lambda trailers: request.parse_headers(trailers, from_trailer=True))

    def _take_body(self, decoder: Decoder) -> bool:
        request = self.request
        if len(self._body) + decoder.missing <= self._longest_body:
            self._body += decoder.decode(self._buffer)
        if decoder.ended and len(self._body) <= self._longest_body:
            self._finish(decoder)
            return True
        if self._is_of_lines():
            request.body = Stream(self._connection, request, decoder, bytes(self._body))
            request.force_close()
            return True
        if len(self._body) + decoder.missing > self._longest_body:
            self._cut_off(decoder)
            return True
        self.waits_to_be_asked = take_expectation(request)
        return False

    def _finish(self, decoder: Decoder) -> None:
        take_expectation(self.request)
        self.request.body = io.BytesIO(self._body)
        if isinstance(decoder, Chunked):
            self._say_length(len(self._body))

    def _cut_off(self, decoder: Decoder) -> None:
        """Let the application reject a body by its length without reading it; the connection is closed afterwards."""
        take_expectation(self.request)
        self.request.body = io.BytesIO()
        self.request.force_close()
        if isinstance(decoder, Chunked):
            self._say_length(len(self._body) + decoder.missing)
        self._body.clear()

    def _say_length(self, length: int) -> None:
        """Describe a decoded body to the application as one with a Content-Length."""
        headers = [each for each in self.request.headers if each[0] != "TRANSFER-ENCODING"]
        self.request.headers = [*headers, ("CONTENT-LENGTH", str(length))]

    def _is_of_lines(self) -> bool:
        kind = next((value for name, value in self._headers if name == "CONTENT-TYPE"), "")
        return kind.partition(";")[0].strip().lower() in TYPES


class Stream(io.RawIOBase):
    """An NDJSON body, read by a thread as it arrives; not before `start`, when the sender is authenticated.

    A client may be slow: it has SERVER_READ_TIMEOUT, and LEAST_RATE bytes restore one second of it. Only time spent
    waiting for the client counts.
    """

    def __init__(self, connection: Any, request: Any, decoder: Decoder, data: bytes) -> None:
        self._connection = connection
        self._request = request
        self._decoder = decoder
        self._data = data
        self._left: float = connection.read_timeout
        self._ends_at: float | None = None
        self._asks = take_expectation(request)

    def start(self) -> None:
        self._ends_at = time.monotonic() + LONGEST_BULK
        self._decode()
        if not self._asks:
            return
        with suppress(OSError):
            self._connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if self._ends_at is None:
            return 0
        while not self._data and not self._decoder.ended:
            self._receive(self._ends_at)
        piece, self._data = self._data[: len(target)], self._data[len(target) :]
        target[: len(piece)] = piece
        if self._decoder.ended and not self._data:
            # It was read completely: another request may follow.
            self._request.must_close = False
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
        self._connection.buffer += piece
        self._decode()

    def _decode(self) -> None:
        try:
            self._data += self._decoder.decode(self._connection.buffer)
        except ParseException as error:
            raise BadRequest(str(error)) from None
