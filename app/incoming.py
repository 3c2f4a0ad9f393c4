"""Incoming requests: gunicorn's incremental parser reads heads and bodies alike, as they arrive.

Nothing here blocks. A thread gets a request once all of it is there, or its head alone if that is checked before a
long body is received, or the head and a `Stream` of NDJSON lines.

The parser is that of gunicorn's ASGI workers. Its WSGI parser waits for data itself, so that each slow client would
need a thread. h11 takes what proxies may read differently: bare LF, folded lines, a length together with chunks.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gunicorn.asgi.parser import ParseError, PythonProtocol  # type: ignore[import-untyped]
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from .bodies import LONG, LONGEST_BODY, PIECE, HeadOnly, Stream, Whole
from .http_request import Request
from .refusals import Refused, refused
from .spool import Spool

#: Maximum bytes of a request's head. gunicorn_conf limits its lines.
LONGEST_HEAD = 64 * 1024
#: Bytes that are received at once of what may be thousands of chunks, so that other requests are served in between.
_SMALL_PIECE = 8 * 1024


@lru_cache(maxsize=1)
def _limits(cfg: Any) -> dict[str, int]:
    """Return the parser's limits; each read of gunicorn's settings takes a microsecond."""
    names = ("limit_request_line", "limit_request_fields", "limit_request_field_size")
    return {name: getattr(cfg, name) for name in names}


class _Flag:
    """Is called when the head is complete; returns nothing, so that the parser continues with the body."""

    is_set = False

    def __call__(self) -> None:
        self.is_set = True


class Incoming:
    """The next request of a connection."""

    def __init__(self, connection: Any, longest_body: int, longest_upload: int = 0) -> None:
        self.request: Any = None
        #: Whether the client waits for `100 Continue` before it sends the body.
        self.wants_continue = False
        #: Used by the worker: the size that it has counted.
        self.counted = 0
        self._connection = connection
        #: Whether the body may take any time, as long as it arrives at LEAST_RATE: that of an upload.
        self.is_transfer = False
        #: How long the body may be. That of an upload may be longer, which the check of the head tells.
        self._longest_body = longest_body
        self._longest_upload = longest_upload
        self._received = 0
        self._head_ended = _Flag()
        self._spool = Spool()
        self._body = self._spool.received
        #: With what result the head has been checked, and whether it was known then that the body is long.
        self._checked: Mapping[str, Any] | None = None
        self._checked_as_long = False
        self._keeps = False
        self._parser = PythonProtocol(
            on_headers_complete=self._head_ended, on_body=self._body.extend, **_limits(connection.cfg)
        )

    @property
    def has_begun(self) -> bool:
        return self._received > 0

    @property
    def has_ended(self) -> bool:
        return bool(self._parser.is_complete)

    @property
    def size(self) -> int:
        """Bytes held in memory."""
        return self._received if self.request is None else len(self._body)

    @property
    def on_disk(self) -> int:
        """Bytes held on disk."""
        return self._spool.on_disk

    @property
    def most(self) -> int:
        """How many bytes to receive at most, before the request is looked at again."""
        return _SMALL_PIECE if self.request is None or self._parser.is_chunked else PIECE

    def close(self) -> None:
        """Drop what has been received, unless it has been passed on."""
        self._spool.clear()

    def feed(self, data: bytes) -> None:
        """Parse received bytes. Raises ParseError."""
        self._received += len(data)
        try:
            self._parser.feed(data)
        except ValueError as error:
            # Python reads no number of more than 4,300 digits.
            raise ParseError("Content-Length has too many digits") from error
        if self.has_ended:
            self._connection.buffer = self._parser.remaining()

    def advance(self, data: bytes) -> bool:
        """Process received bytes; return whether there is something for a thread. Raises Refused."""
        try:
            self.feed(data)
            if self.request is None and self._head_ended.is_set:
                self.request = self._begin()
        except (ParseError, ParseException) as error:
            raise refused(error) from None
        if self.request is not None:
            if not self.request.is_of_lines:
                self._spool.set_aside(self._parser.content_length or 0)
            return self._is_ready(self.request)
        if self._received > LONGEST_HEAD:
            raise Refused(431, f"the request's head is longer than {LONGEST_HEAD} bytes")
        return False

    def take(self) -> bytes:
        """Take what has been received of the body."""
        data = bytes(self._body)
        self._body.clear()
        if self.has_ended:
            self.request.must_close = not self._keeps
        return data

    def resume(self, head: HeadOnly) -> None:
        """Continue with the body of a request whose head has passed its checks."""
        self._checked, self._checked_as_long = head.checked, head.is_long
        upload = (head.checked or {}).get(LONGEST_BODY)
        if upload is not None:
            self._longest_body, self.is_transfer = upload, True
        self.request.must_close = not self._keeps
        self.wants_continue = self.request.waits_for_continue and not self._received

    def _begin(self) -> Request:
        try:
            request = Request(self._parser, self._connection.cfg, self._connection.client)
        except ValueError as error:
            # Of urllib: a host that is none.
            raise Refused(400, f"the request's URL is invalid: {error}") from None
        self._received = 0
        self._keeps = not request.must_close
        return request

    def _is_ready(self, request: Request) -> bool:
        length = max(self._parser.content_length or 0, self._spool.length)
        is_too_long = length > self._longest_body
        if self.has_ended and not is_too_long:
            self._finish(request)
        elif request.is_of_lines:
            self.wants_continue = request.waits_for_continue
            request.body, request.must_close = Stream(self._connection, self), True
        elif is_too_long and (self._checked_as_long or length > self._longest_upload):
            self._cut_off(request, length)
        else:
            is_long = is_too_long or max(length, self._received) > LONG
            if self._checked_as_long >= is_long and (self._checked is not None or not request.waits_for_continue):
                return False
            request.body, request.must_close = HeadOnly(self._checked, is_long=is_long), True
        return True

    def _finish(self, request: Request) -> None:
        length = self._spool.length
        request.body = self._spool.reader() or Whole(self._body)
        request.body.before = self._checked
        if self._parser.is_chunked:
            request.say_length(length)

    def _cut_off(self, request: Request, length: int) -> None:
        """Let the application reject a body by its length without reading it; the connection is closed afterwards."""
        request.body, request.must_close = Whole(), True
        request.body.before = self._checked
        request.say_length(length)
        self._spool.clear()
