"""Requests: their ids, what they may look like, and one log line for each."""

import ipaddress
import re
import time
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import uuid4

from flask import Flask, Response, g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import Forbidden, RequestEntityTooLarge, UnsupportedMediaType

from gopher import logs

from . import lines
from .context import context
from .tracing import let_go, take_up

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Bytes that are read of a request which is refused, and how many at a time.
_DISCARDED, _PIECE = 8 * 2**20, 2**16
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORM = "application/x-www-form-urlencoded"
#: Asked all the time by machines.
_QUIET = ("/health", "/metrics")
_log = logs.get_logger("api")


def install(app: Flask) -> None:
    app.before_request(_begin)
    app.before_request(_check_host)
    app.before_request(_check_origin)
    app.before_request(_check_body)
    app.after_request(_end)
    app.teardown_request(_leave)


def body() -> bytes:
    """Return the request's body. Raises RequestEntityTooLarge above SERVER_MAX_BODY."""
    data = request.get_data(cache=True)
    # Of a body without a Content-Length the rest would be cut off silently.
    if request.content_length is None and len(data) >= context().settings.server_max_body:
        raise RequestEntityTooLarge
    return data


def discard_body() -> None:
    """Read what a refused request still sends, within limits: else the connection breaks before our answer is read."""
    stream = request.environ["wsgi.input"]
    try:
        for _ in range(_DISCARDED // _PIECE):
            if not stream.read(_PIECE):
                return
    except (OSError, ParseException):
        pass


def path_template() -> str:
    """Return the route of the request, such as /api/v1/jobs/<job_id>: what may be a label or a log field."""
    return request.url_rule.rule if request.url_rule else "unmatched"


def _begin() -> None:
    g.started = time.perf_counter()
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
    logs.bind(request_id=g.request_id)
    take_up()


def _leave(_error: BaseException | None) -> None:
    """The thread goes on to something else."""
    logs.unbind()
    let_go()


def _check_host() -> None:
    """Without keys, refuse a request that came by a name of somebody else's.

    A page in a browser on this machine may let its own name lead here, and is of the same origin then.
    """
    settings = context().settings
    if settings.api_keys or settings.allow_anonymous or settings.listens_beyond_loopback:
        return
    if not _is_loopback(request.host):
        raise Forbidden(f"{request.host[:80]!r} is not this machine: ask for http://localhost, or set GOPHER_API_KEYS")


@lru_cache(maxsize=256)
def _is_loopback(place: str) -> bool:
    """Return whether a host, with its port if it has one, is this machine by name or address."""
    try:
        host = urlsplit(f"//{place}").hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_origin() -> None:
    """Refuse what another site's page makes a browser send: a browser reaches a keyless API, its pages shall not."""
    origin = request.headers.get("Origin")
    if origin is None or request.method in _SAFE_METHODS:
        return
    allowed = context().settings.cors_origins
    if urlsplit(origin).netloc != request.host and origin not in allowed and "*" not in allowed:
        raise Forbidden(f"pages of {origin[:80]} may not call this API: name it in GOPHER_CORS_ORIGINS if they shall")


def _check_body() -> None:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:40]!r} is not supported: send the body as it is")
    kind = request.mimetype
    if request.blueprint == "dashboard" and kind == _FORM:
        return
    if kind in lines.TYPES and request.endpoint == "jobs.submit_batch":
        return
    if request.method not in _SAFE_METHODS and kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"Content-Type is {kind[:60]!r}: send JSON with Content-Type: application/json")


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    path = path_template()
    write = _log.debug if path.startswith(_QUIET) else _log.info
    write(
        "request",
        method=request.method,
        path=path,
        status=response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 1),
        **({"job_id": g.job_id} if "job_id" in g else {}),
        **({"key": g.key_name} if "key_name" in g else {}),
    )
    return response
