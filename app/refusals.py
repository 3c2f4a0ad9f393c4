"""Error responses to requests that never reach the application, in the application's format."""

import os
import re
from http import HTTPStatus

import msgspec
from gunicorn.http import errors  # type: ignore[import-untyped]

from .answers import HEADERS
from .problems import BY_STATUS, FAILURES, Failure, Problem

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Status codes of gunicorn's parse errors; all others are 400.
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.UnsupportedTransferCoding, 501),
    (errors.LimitRequestLine, 414),
    (errors.LimitRequestHeaders, 431),
    (errors.ExpectationFailed, 417),
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
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 400)
    # The error may quote a part of a payload, which must not be logged.
    return Refused(status, str(error)[:200] or "this is not HTTP/1.1", type(error).__name__)


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
