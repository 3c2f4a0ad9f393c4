"""Requests: ids, basic checks, and one log line for each."""

import logging
import time

from flask import Flask, Request, Response, g
from werkzeug.exceptions import ClientDisconnected, Forbidden, RequestEntityTooLarge, UnsupportedMediaType

from gopher.base.names import canonical_id
from gopher.compat import current
from gopher.config.settings import Settings
from gopher.telemetry import logs

from . import forms, hosts, lines
from .bodies import HeadOnly
from .context import context, current_request
from .refusals import request_id_of
from .tracing import let_go, take_up

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORM = "application/x-www-form-urlencoded"
#: Parameters of routes that are ids.
_IDS = ("job_id", "redrive_id")
#: Polled by machines, hence not logged at info.
_QUIET = ("/health", "/metrics")
_log = logs.get_logger("api")


def install(app: Flask, settings: Settings) -> None:
    @app.before_request
    def receive() -> None:
        asked = current_request()
        if _resume(asked):
            return
        _begin(asked)
        hosts.check(asked, settings)
        _check_origin(asked, settings)
        _check_body(asked, settings)

    # Called before those, which may look up the job.
    app.url_value_preprocessor(_with_canonical_ids)
    app.after_request(_end)
    app.teardown_request(_leave)


def _with_canonical_ids(_endpoint: str | None, values: dict[str, str] | None) -> None:
    for name in _IDS:
        if values and name in values:
            values[name] = canonical_id(values[name])


def body() -> bytes:
    """Return the request's body: of a form, the job in it. Raises RequestEntityTooLarge above SERVER_MAX_BODY."""
    about = current(g)
    if "body" not in about:
        asked = current_request()
        is_form = "longest_body" in about and forms.is_form(asked)
        about.body = forms.job_in_form() if is_form else _read(asked, context().settings.server_max_body)
    data: bytes = about.body
    return data


def _read(asked: Request, most: int) -> bytes:
    length = asked.environ.get("CONTENT_LENGTH", "")
    # Werkzeug reads in steps of 64 KiB until the end. gunicorn declares that its stream ends with the body.
    ends = "wsgi.input_terminated" in asked.environ and "HTTP_TRANSFER_ENCODING" not in asked.environ
    if ends and length.isdecimal() and int(length) <= most:
        try:
            data: bytes = asked.environ["wsgi.input"].read(int(length))
        except (OSError, ValueError) as error:
            raise ClientDisconnected from error
        return data
    data = asked.get_data(cache=False)
    # A body without a Content-Length would otherwise be truncated silently.
    if len(data) >= most and asked.content_length is None:
        raise RequestEntityTooLarge
    return data


def has_body() -> bool:
    """Return whether this request's body is there; it is not while its head is checked (Application.check_head)."""
    return not isinstance(current_request().environ["wsgi.input"], HeadOnly)


def path_template(asked: Request) -> str:
    """Return the route of a request, such as /api/v1/jobs/<job_id>, for labels and log fields."""
    return asked.url_rule.rule if asked.url_rule else "unmatched"


def _begin(asked: Request) -> None:
    about = current(g)
    about.started = time.perf_counter()
    about.request_id = request_id = request_id_of(asked.environ.get("HTTP_X_REQUEST_ID", ""))
    logs.bind(request_id=request_id)
    take_up(asked, request_id)


def _resume(asked: Request) -> bool:
    """Take up what was found when the head of this request was checked; return False if it has not been."""
    found = getattr(asked.environ["wsgi.input"], "before", None)
    if found is None:
        return False
    about = current(g)
    for name, value in found.items():
        setattr(about, name, value)
    about.is_checked = True
    logs.bind(request_id=about.request_id)
    take_up(asked, about.request_id)
    return True


def _leave(_error: BaseException | None) -> None:
    """Reset the logging context: the thread handles another request next."""
    logs.unbind("request_id")
    let_go()


def _check_origin(asked: Request, settings: Settings) -> None:
    """Reject requests that another site's page makes a browser send: without keys, any page could use the API."""
    origin = asked.environ.get("HTTP_ORIGIN")
    if origin is None or asked.method in _SAFE_METHODS:
        return
    allowed = settings.cors_origins
    if origin.partition("://")[2] != asked.host and origin not in allowed and "*" not in allowed:
        raise Forbidden(f"origin {origin[:80]} may not call this API: add it to GOPHER_CORS_ORIGINS to allow it")


def _check_body(asked: Request, settings: Settings) -> None:
    encoding = asked.environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:40]!r} is not supported: send the body uncompressed")
    if asked.environ.get("CONTENT_TYPE") == "application/json" and asked.endpoint != forms.UPLOAD:
        return
    if forms.accepts(asked, settings):
        return
    kind = asked.mimetype
    if asked.blueprint == "dashboard" and kind == _FORM:
        return
    if kind in lines.TYPES and asked.endpoint == "jobs.submit_batch":
        return
    if asked.method not in _SAFE_METHODS and kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"Content-Type is {kind[:60]!r}: send JSON with Content-Type: application/json")


def _end(response: Response) -> Response:
    asked, about = current_request(), current(g)
    response.headers.add("X-Request-ID", about.request_id)
    path = path_template(asked)
    level = logging.DEBUG if path.startswith(_QUIET) else logging.INFO
    if not _log.is_enabled_for(level):
        return response
    _log.log(
        level,
        "request",
        method=asked.method,
        path=path,
        status=response.status_code,
        ms=round((time.perf_counter() - about.started) * 1000, 1),
        **({"job_id": about.job_id} if "job_id" in about else {}),
        **({"key": about.key_name} if "key_name" in about else {}),
    )
    return response
