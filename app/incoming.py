"""A request on its way: gunicorn's parser reads its head once that is there, and its body is decoded as it comes.

Nothing here waits. What a thread gets is a request whose body is there as a whole, or a `Stream` of lines.
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

#: Bytes of a head. gunicorn_conf bounds its lines.
LONGEST_HEAD = 64 * 1024
PIECE = 64 * 1024


class Incoming:
    """The next request of a connection, of which `buffer` is what has come."""

    def __init__(self, connection: Any, longest_body: int) -> None:
        self.request: Any = None
        #: Whether the client waits to be asked for the body before it sends it.
        self.waits_to_be_asked = False
        #: The worker's own: the size that it has counted.
        self.counted = 0
        self._connection = connection
        self._buffer: bytearray = connection.buffer
        self._longest_body = longest_body
        self._searched = 0
        self._decoder: Decoder | None = None
        self._body = bytearray()

    @property
    def size(self) -> int:
        """Bytes that are held of it."""
        return len(self._buffer) + len(self._body)

    @property
    def has_begun(self) -> bool:
        return bool(self._buffer) or self.request is not None

    @property
    def given_id(self) -> str:
        """The request id that the client has chosen, "" without one."""
        return next((value for name, value in self._headers if name == "X-REQUEST-ID"), "")

    @property
    def _headers(self) -> list[tuple[str, str]]:
        return self.request.headers if self.request is not None else []

    def advance(self) -> bool:
        """Take in what has come; return whether a thread can answer now. Raises Refused."""
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
            # Lines end with CRLF: such a head would never be there as a whole.
            if self._buffer.endswith(b"\n\n"):
                raise Refused(400, "lines of a request's head end with CR and LF")
            return None
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        return head

    def _begin(self, head: bytes) -> Decoder:
        connection = self._connection
        self.request = request = Request(connection.cfg, IterUnreader((head,)), connection.client)
        headers = dict(request.headers)
        if "HOST" not in headers and request.version >= (1, 1):
            raise Refused(400, "HTTP/1.1 needs a Host header")
        if not isinstance(request.body.reader, ChunkedReader):
            return Sized(request.body.reader.length)
        codings = ",".join(value.lower() for name, value in request.headers if name == "TRANSFER-ENCODING")
        # gunicorn passes compressed bodies on as they are.
        if not {coding.strip() for coding in codings.split(",")} <= {"chunked", "identity"}:
            raise Refused(501, f"Transfer-Encoding {codings[:60]!r} is not supported: send chunked alone")
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
        """Let the application refuse a body by its length, and read no more of it; then the connection is closed."""
        take_expectation(self.request)
        self.request.body = io.BytesIO()
        self.request.force_close()
        if isinstance(decoder, Chunked):
            self._say_length(len(self._body) + decoder.missing)
        self._body.clear()

    def _say_length(self, length: int) -> None:
        """Describe a body that was decoded: to all that follow, it came with a Content-Length."""
        headers = [each for each in self.request.headers if each[0] != "TRANSFER-ENCODING"]
        self.request.headers = [*headers, ("CONTENT-LENGTH", str(length))]

    def _is_of_lines(self) -> bool:
        kind = next((value for name, value in self._headers if name == "CONTENT-TYPE"), "")
        return kind.partition(";")[0].strip().lower() in TYPES


class Stream(io.RawIOBase):
    """A body of lines, read by a thread as it comes. Nothing is read before `start`: first one knows who sends it.

    A client may be slow: it has SERVER_READ_TIMEOUT, and each LEAST_RATE bytes give back a second of that. Only the
    time that is spent waiting for it counts.
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
            # All of it was read: another request may follow.
            self._request.must_close = False
        return len(piece)

    def _receive(self, ends_at: float) -> None:
        sock = self._connection.sock
        began = time.monotonic()
        try:
            sock.settimeout(max(min(self._left, ends_at - began), 0.001))
            piece = sock.recv(PIECE)
        except TimeoutError:
            details = f"lines have to come at {LEAST_RATE} bytes a second at least, and within {LONGEST_BULK:g} s"
            raise RequestTimeout(details) from None
        except OSError as error:
            raise ClientDisconnected from error
        finally:
            sock.setblocking(False)
        if not piece:
            raise ClientDisconnected
        left = self._left + len(piece) / LEAST_RATE - (time.monotonic() - began)
        # What came early is no excuse for a longer silence.
        self._left = min(left, self._connection.read_timeout)
        self._connection.buffer += piece
        self._decode()

    def _decode(self) -> None:
        try:
            self._data += self._decoder.decode(self._connection.buffer)
        except ParseException as error:
            raise BadRequest(str(error)) from None
