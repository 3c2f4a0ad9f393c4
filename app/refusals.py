"""Error responses to requests that never reach the application, in the application's format."""

import os
import re
from http import HTTPStatus

import msgspec
from gunicorn.asgi import parser  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]

from .answers import HEADERS
from .problems import BY_STATUS, FAILURES, Failure, Problem

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Errors of gunicorn's parser: status code and details, which may contain the error's text.
_ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (parser.UnsupportedTransferCoding, 501, "Transfer-Encoding {!r} is not supported: send only chunked"),
    (parser.LimitRequestLine, 414, "the request line is too long: shorten the URL"),
    (parser.LimitRequestHeaders, 431, "the header is too large: send fewer or shorter fields"),
    (parser.InvalidRequestMethod, 400, "{!r} is not a method: send upper-case letters, such as GET"),
    (parser.InvalidHTTPVersion, 400, "{!r} is not supported: send HTTP/1.1"),
    (parser.InvalidHeaderName, 400, "{!r} is not allowed as a header name: send letters, digits and hyphens"),
    (errors.InvalidHeaderName, 400, "{}: send letters, digits and hyphens"),
    (errors.ExpectationFailed, 417, "{}: send only 100-continue"),
)
_FAILURES = {**BY_STATUS, 500: FAILURES["internal"], 503: FAILURES["busy"]}


class Refused(Exception):
    """Raised to reject a request before the application. `details` are for the client, `reason` is for the log."""

    def __init__(self, status: int, details: str, reason: str | None = None) -> None:
        super().__init__(details)
        self.status = status
        self.reason = reason or details


def refused(error: Exception) -> Refused:
    """Convert an error of gunicorn's parser."""
    status, details = next((each[1:] for each in _ERRORS if isinstance(error, each[0])), (400, "{}"))
    # The error may quote a part of a payload, which must not be logged.
    return Refused(status, details.format(str(error)[:200]), type(error).__name__)


def request_id_of(given: str) -> str:
    """Return the client's id of a request, or a new one."""
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def written(status: int, details: str, request_id: str) -> bytes:
    """Return the bytes of a response, after which the connection is closed."""
    failure = _FAILURES.get(status) or Failure(status, "http_error", f"{HTTPStatus(status).phrase}.")
    body = msgspec.json.encode(Problem(error=failure.error, code=failure.code, details=details, request_id=request_id))
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        ("X-Request-ID", request_id),
        *HEADERS,
    ]
    lines = [f"HTTP/1.1 {failure.status} {HTTPStatus(failure.status).phrase}", *(": ".join(each) for each in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
