"""Spans of attempts from an application's own OpenTelemetry: `middleware.add(OpenTelemetryMiddleware())`.

Not needed where OTEL_EXPORTER_OTLP_ENDPOINT is set: Gopher then exports spans itself. See docs/frameworks.md.
"""

from contextlib import ExitStack

from opentelemetry import propagate, trace
from opentelemetry.context import Context

from gopher import __version__
from gopher.hooks.middleware import Middleware, Outcome
from gopher.jobs.job import Job
from gopher.telemetry import tracing


class OpenTelemetryMiddleware(Middleware):
    """Runs each attempt in a span, within the trace in which its job was submitted.

    `provider` is by default the application's global one. A child that is killed can't export its last spans.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._provider = provider
        #: By the id of the job: an eager client runs one within another.
        self._spans: dict[str, tuple[ExitStack, trace.Span]] = {}

    def before(self, job: Job) -> None:
        if tracing.is_on():
            # The attempt has a span already.
            return
        tracer = trace.get_tracer("gopher", __version__, self._provider)
        parent = propagate.extract({"traceparent": job.traceparent}, Context())
        kind = trace.SpanKind.CONSUMER
        span = tracer.start_span(f"process {job.queue}", parent, kind, attributes=_attributes(job))
        scopes = ExitStack()
        scopes.enter_context(trace.use_span(span, record_exception=False, set_status_on_exception=False))
        self._spans[job.id] = scopes, span

    def after(self, job: Job, outcome: Outcome) -> None:
        scopes, span = self._spans.pop(job.id, (None, None))
        if scopes is None or span is None:
            return
        scopes.close()
        span.set_attribute("gopher.job.outcome", outcome.kind)
        if outcome.is_failure:
            span.set_attribute("error.type", outcome.error_type)
            span.set_status(trace.StatusCode.ERROR, outcome.message)
            if outcome.error is not None:
                span.record_exception(outcome.error)
        span.end()

    def on_child_stop(self) -> None:
        """Export what is left."""
        flush = getattr(self._provider or trace.get_tracer_provider(), "force_flush", None)
        if flush is not None:
            flush(1000)


def _attributes(job: Job) -> dict[str, str | int]:
    return {
        "messaging.system": "gopher",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue,
        "messaging.message.id": job.id,
        "gopher.job.type": job.type,
        "gopher.job.attempt": job.attempt,
    }
