"""Spans of requests; and passing a caller's trace on to jobs where tracing is off."""

import os
from typing import Any

from flask import Flask, Request

from gopher.telemetry import tracing
from gopher.telemetry.trace_context import REQUEST_ID, pass_on, read

from .bodies import HeadOnly

#: Polled by machines, hence not traced by default; the instrumentation's variables override it.
_QUIET = r"/health(/|$),/metrics$"
#: Has a token in its path, which a span would record.
_UNTRACED = "/hirefire/"
_OWN_WORD = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")


def install(app: Flask) -> None:
    """Create a span for each request. Must be set up before everything that belongs in the span."""
    if not tracing.is_on():
        return
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    tracing.start("gopher-api")
    own = next(filter(None, map(os.environ.get, _OWN_WORD)), _QUIET)
    FlaskInstrumentor.instrument_app(app, excluded_urls=f"{own},{_UNTRACED}", request_hook=_name)  # type: ignore[no-untyped-call]


def _name(span: Any, environ: dict[str, Any]) -> None:
    """Tell the check of a request's head from the request itself, which has its own span."""
    if isinstance(environ["wsgi.input"], HeadOnly):
        span.update_name(f"check {span.name}")


def take_up(asked: Request, request_id: str) -> None:
    """Attach a request's id and its incoming trace to its jobs."""
    came_with = read(asked.headers) if "HTTP_TRACEPARENT" in asked.environ else {}
    pass_on({**came_with, REQUEST_ID: request_id})


def let_go() -> None:
    """Detach the request's id and trace from this thread."""
    pass_on({})
