"""OpenTelemetry: spans of submissions, and the export of a process's spans.

Tracing is on if the standard variables set an endpoint. If it is off, OpenTelemetry is not imported here; submissions
within a span of the calling program, which has imported it, still carry that trace.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from gopher import __version__
from gopher.base.installed import require
from gopher.compat import may_have_provider
from gopher.errors import ConfigurationError
from gopher.jobs.job import NewJob

from .trace_context import bounded, carrying, pass_on, passed_on, read, trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

#: Timeout for exporting the last spans of a process, in seconds.
LAST_SPANS = 5.0
#: Maximum number of spans queued for export, unless OTEL_BSP_MAX_QUEUE_SIZE is set.
_QUEUE = 16_384

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def is_on(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether tracing is on. Raises ConfigurationError if it is misconfigured."""
    if not any(environ.get(name) for name in _ENDPOINTS):
        return False
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = [name.strip() for name in environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    if "otlp" not in exporters:
        return False
    for name in _PROTOCOLS:
        if environ.get(name, "http/protobuf") not in ("", "http/protobuf"):
            raise ConfigurationError(
                f"{name}={environ[name]!r}: expected http/protobuf, which collectors accept on port 4318"
            )
    require("tracing", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return True


def start(service: str) -> None:
    """Export this process's spans in a thread, for processes that don't fork. Does nothing if tracing is off.

    `service` is the service name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES set it.
    """
    if not is_on():
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(resource=resource(service), shutdown_on_exit=False)
    provider.add_span_processor(exporting())
    trace.set_tracer_provider(provider)


def preload() -> None:
    """Import the SDK, so that processes forked afterwards share it."""
    from opentelemetry import propagate
    from opentelemetry.exporter.otlp.proto.http import trace_exporter

    del propagate, trace_exporter


def take_up(service: str, environ: Mapping[str, str] = os.environ) -> None:
    """Continue the trace of TRACEPARENT in the environment, as set by CI builds for commands.

    `stop()` must be called at the end.
    """
    carrier = read({name.lower(): text for name, text in environ.items()})
    pass_on(carrier)
    if is_on(environ):
        start(service)
        from opentelemetry import context, propagate

        context.attach(propagate.extract(carrier))


def stop(timeout: float = LAST_SPANS) -> None:
    """Export ended spans within `timeout` seconds; nothing is exported afterwards."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        # In a thread, since the SDK's flush ignores its timeout. And flushed first, since its shutdown drops spans
        # that a busy machine has not started to export within a tenth of a second.
        thread = threading.Thread(target=_flush_and_shut_down, args=(provider,), daemon=True)
        thread.start()
        thread.join(timeout)


def _flush_and_shut_down(provider: "TracerProvider") -> None:
    provider.force_flush()
    provider.shutdown()


def exporting() -> "SpanProcessor":
    """Return a batch exporter, configured by the OTEL_EXPORTER_OTLP_* and OTEL_BSP_* variables."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    size = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else _QUEUE
    return BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=size)


def resource(service: str) -> "Resource":
    """Return the tracer provider. The environment takes precedence."""
    from opentelemetry.sdk.resources import Resource

    ours = {"service.version": __version__}
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        ours["service.name"] = service
    return Resource.create(ours)


def enqueuing(queue: str, jobs: Sequence[NewJob]) -> AbstractContextManager[Sequence[NewJob]]:
    """Yield the jobs with the trace of an enqueue span, which ends with the block: one span for all of them."""
    trace = _in_use()
    if trace is None:
        return nullcontext(carrying(jobs, passed_on()))
    return _spanning(trace, queue, jobs)


@contextmanager
def _spanning(trace: Any, queue: str, jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    with trace.get_tracer("gopher", __version__).start_as_current_span(
        f"enqueue {queue}", kind=trace.SpanKind.PRODUCER, attributes=producer_attributes(queue, jobs)
    ):
        yield carrying(jobs, {**passed_on(), **current_carrier()})


def firing(schedule: str, queue: str, jobs: Sequence[NewJob]) -> tuple[Sequence[NewJob], Callable[[], None]]:
    """Return a schedule's jobs with a new trace, and a function that creates its first span.

    Call it once the jobs are stored, since another scheduler may have stored them.
    """
    trace = _in_use()
    if trace is None or not jobs:
        return jobs, lambda: None
    span = trace.get_tracer("gopher", __version__).start_span(
        f"enqueue {queue}",
        kind=trace.SpanKind.PRODUCER,
        attributes={**producer_attributes(queue, jobs), "gopher.schedule": schedule},
    )
    with trace.use_span(span):
        return carrying(jobs, current_carrier()), span.end


def _in_use() -> Any:
    """Return OpenTelemetry's module `trace` if this program uses it; redis-py imports it in any case."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    has_provider = may_have_provider(trace) and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    return trace if has_provider or trace.get_current_span().get_span_context().is_valid else None


def producer_attributes(queue: str, jobs: Sequence[NewJob]) -> dict[str, Any]:
    """Return the attributes of an enqueue span by the semantic conventions for messaging."""
    attributes: dict[str, Any] = {
        "messaging.system": "gopher",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.destination.name": queue,
    }
    if len(jobs) == 1:
        attributes |= {"messaging.message.id": jobs[0].id, "gopher.job.type": jobs[0].type}
        attributes["gopher.job.priority"] = jobs[0].priority
    else:
        attributes["messaging.batch.message_count"] = len(jobs)
        attributes["gopher.job.type"] = sorted({job.type for job in jobs})[:20]
    return attributes


def current_carrier() -> dict[str, str]:
    """Return the current span as a carrier, {} if there is none."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return bounded(carrier)


def current_trace_id() -> str:
    """Return the current trace id, 32 hexadecimal digits; "" if there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            return format(context.trace_id, "032x")
    return trace_id(passed_on())
