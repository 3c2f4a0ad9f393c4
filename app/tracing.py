"""The span of a request; and a caller's trace passed on to the jobs where we make no spans of our own."""

import os

from flask import Flask, Request

from gopher.telemetry import tracing
from gopher.telemetry.trace_context import REQUEST_ID, pass_on, read

#: Asked all the time by machines; the variables of the instrumentation say otherwise.
_QUIET = r"/health(/|$),/metrics$"
_OWN_WORD = ("OTEL_PYTHON_FLASK_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")


def install(app: Flask) -> None:
    """Make a span of each request. Comes before all that shall happen within it."""
    if not tracing.is_on():
        return
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    tracing.start("gopher-api")
    excluded = None if any(os.environ.get(name) for name in _OWN_WORD) else _QUIET
    FlaskInstrumentor.instrument_app(app, excluded_urls=excluded)  # type: ignore[no-untyped-call]


def take_up(asked: Request, request_id: str) -> None:
    """Have the jobs of a request carry its id, and the trace that it came with."""
    came_with = read(asked.headers) if "HTTP_TRACEPARENT" in asked.environ else {}
    pass_on({**came_with, REQUEST_ID: request_id})


def let_go() -> None:
    """Have nothing else that this thread does carry the request's id or its trace."""
    pass_on({})
