"""OpenTelemetry: spans of what is submitted, and how a process exports its spans.

Tracing is on when the standard variables name an endpoint. When it is off nothing of OpenTelemetry is imported here;
what is submitted within a span of the caller's own program, which has imported it, carries that one's trace.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gopher import __version__
from gopher.compat import may_have_provider
from gopher.errors import ConfigurationError
from gopher.jobs.job import NewJob

from .trace_context import bounded, carrying, pass_on, passed_on, read, trace_id

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

#: Seconds that the last spans of a process may take to be exported.
LAST_SPANS = 5.0
#: Ended spans that wait for their export at most, unless OTEL_BSP_MAX_QUEUE_SIZE says.
_QUEUE = 16_384

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def is_on(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether spans are made and exported. Raises ConfigurationError when they can't be."""
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
                f"{name}={environ[name]!r}: expected http/protobuf; collectors take it on port 4318"
            )
    if find_spec("opentelemetry.exporter") is None:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but what traces is not installed: pip install 'gopherctl[tracing]'"
        )
    return True


def start(service: str) -> None:
    """Have this process export its spans, in a thread: for processes that do not fork. Does nothing when it is off.

    `service` is the name of the service, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says.
    """
    if not is_on():
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(resource=resource(service), shutdown_on_exit=False)
    provider.add_span_processor(exporting())
    trace.set_tracer_provider(provider)


def preload() -> None:
    """Import what makes and exports spans, so that processes forked after this have it at once."""
    from opentelemetry import propagate
    from opentelemetry.exporter.otlp.proto.http import trace_exporter

    del propagate, trace_exporter


def take_up(service: str, environ: Mapping[str, str] = os.environ) -> None:
    """Go on with the trace that TRACEPARENT in the environment names, as a build hands it to a command.

    `stop()` is to be called at the end.
    """
    carrier = read({name.lower(): text for name, text in environ.items()})
    pass_on(carrier)
    if is_on(environ):
        start(service)
        from opentelemetry import context, propagate

        context.attach(propagate.extract(carrier))


def stop(timeout: float = LAST_SPANS) -> None:
    """Export what has ended, for `timeout` seconds at most; nothing is exported after that."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        # In a thread, since the SDK's own flush pays no regard to a timeout. And flushed first: its shutdown drops
        # what a busy machine has not begun to export within a tenth of a second.
        thread = threading.Thread(target=_flush_and_shut_down, args=(provider,), daemon=True)
        thread.start()
        thread.join(timeout)


def _flush_and_shut_down(provider: "TracerProvider") -> None:
    provider.force_flush()
    provider.shutdown()


def exporting() -> "SpanProcessor":
    """Return what exports ended spans in batches, as the OTEL_EXPORTER_OTLP_* and OTEL_BSP_* variables say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    size = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else _QUEUE
    return BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=size)


def resource(service: str) -> "Resource":
    """Return who makes the spans. What the environment says of it stands."""
    from opentelemetry.sdk.resources import Resource

    ours = {"service.version": __version__}
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        ours["service.name"] = service
    return Resource.create(ours)


def enqueuing(queue: str, jobs: Sequence[NewJob]) -> AbstractContextManager[Sequence[NewJob]]:
    """Give the jobs that are stored meanwhile, as they carry the trace of this: one span, however many they are."""
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
    """Return the jobs of a schedule as they carry the trace that begins with them, and what makes its first span.

    That is to be called once they are stored: another scheduler may have been faster.
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
    """Return OpenTelemetry's module `trace` if this program makes spans; redis-py imports it whether or not it does."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    has_provider = may_have_provider(trace) and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    return trace if has_provider or trace.get_current_span().get_span_context().is_valid else None


def producer_attributes(queue: str, jobs: Sequence[NewJob]) -> dict[str, Any]:
    """Return the attributes of the span of an enqueue, by the semantic conventions for messaging."""
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
    """Return the current span as a carrier, {} when there is none."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return bounded(carrier)


def current_trace_id() -> str:
    """Return the id of the trace that the calling code belongs to, 32 hexadecimal digits; "" when there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            return format(context.trace_id, "032x")
    return trace_id(passed_on())
