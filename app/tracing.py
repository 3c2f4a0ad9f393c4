"""Spans of requests; and passing a caller's trace on to jobs where tracing is off."""

import os

from flask import Flask, Request

from gopher.telemetry import tracing
from gopher.telemetry.trace_context import REQUEST_ID, pass_on, read

#: Polled by machines, hence not traced by default; the instrumentation's variables override it.
_QUIET = r"/health(/|$),/metrics$"
_OWN_WORD = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")


def install(app: Flask) -> None:
    """Create a span for each request. Must be set up before everything that belongs in the span."""
    if not tracing.is_on():
        return
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    tracing.start("gopher-api")
    excluded = None if any(os.environ.get(name) for name in _OWN_WORD) else _QUIET
    FlaskInstrumentor.instrument_app(app, excluded_urls=excluded)  # type: ignore[no-untyped-call]


def take_up(asked: Request, request_id: str) -> None:
    """Attach a request's id and its incoming trace to its jobs."""
    came_with = read(asked.headers) if "HTTP_TRACEPARENT" in asked.environ else {}
    pass_on({**came_with, REQUEST_ID: request_id})


def let_go() -> None:
    """Detach the request's id and trace from this thread."""
    pass_on({})
