"""Messages from the children to the worker's exporter, as msgpack arrays. Times in Unix nanoseconds.

OpenTelemetry is imported in the functions, so that a worker without tracing never loads it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

Attributes = dict[str, Any]


class Attempt(msgspec.Struct, array_like=True, frozen=True):
    """An attempt's data for its span. `waited` in ms, `size` of the payload in bytes."""

    job_id: str
    job_type: str
    queue: str
    priority: str
    attempt: int
    max_retries: int
    token: str
    previous: str
    waited: int
    size: int
    trace: dict[str, str]


class Killed(msgspec.Struct, array_like=True, tag="k", frozen=True):
    """An attempt whose child was killed or died before it could end its span."""

    attempt: Attempt
    started: int
    ended: int
    outcome: str
    error_type: str
    message: str


class Context(msgspec.Struct, array_like=True, frozen=True):
    """A span's context. Ids as bytes, since msgpack's integers have 64 bits."""

    trace_id: bytes
    span_id: bytes
    remote: bool
    flags: int
    state: str


class Event(msgspec.Struct, array_like=True, frozen=True):
    name: str
    time: int
    attributes: Attributes


class Link(msgspec.Struct, array_like=True, frozen=True):
    context: Context
    attributes: Attributes


class Scope(msgspec.Struct, array_like=True, frozen=True):
    """The instrumentation library of a span."""

    name: str
    version: str | None
    schema_url: str | None
    attributes: Attributes


class Finished(msgspec.Struct, array_like=True, tag="f", frozen=True):
    """An ended span. `status` is 0 unset, 1 ok, 2 error."""

    name: str
    context: Context
    parent: Context | None
    kind: int
    started: int
    ended: int
    status: int
    description: str | None
    attributes: Attributes
    events: list[Event]
    links: list[Link]
    scope: Scope | None


encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Finished | Killed)


def decode(data: bytes) -> Finished | Killed:
    """Decode a frame. Raises msgspec.DecodeError."""
    frame: Finished | Killed = _decoder.decode(data)
    return frame


def from_span(span: "ReadableSpan") -> Finished:
    """Encode an ended span as a frame."""
    assert span.context is not None
    scope = span.instrumentation_scope
    return Finished(
        name=span.name,
        context=_from_context(span.context),
        parent=_from_context(span.parent) if span.parent else None,
        kind=span.kind.value,
        started=span.start_time or 0,
        ended=span.end_time or 0,
        status=span.status.status_code.value,
        description=span.status.description,
        attributes=_plain(span.attributes),
        events=[Event(event.name, event.timestamp, _plain(event.attributes)) for event in span.events],
        links=[Link(_from_context(link.context), _plain(link.attributes)) for link in span.links],
        scope=Scope(scope.name, scope.version, scope.schema_url, _plain(scope.attributes)) if scope else None,
    )


def to_span(frame: Finished, resource: "Resource") -> "ReadableSpan":
    """Decode the span of a frame, for `resource`."""
    from opentelemetry import trace
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    scope = frame.scope
    return sdk.ReadableSpan(
        name=frame.name,
        context=_to_context(frame.context),
        parent=_to_context(frame.parent) if frame.parent else None,
        resource=resource,
        attributes=frame.attributes,
        events=[sdk.Event(event.name, event.attributes, event.time) for event in frame.events],
        links=[trace.Link(_to_context(link.context), link.attributes) for link in frame.links],
        kind=trace.SpanKind(frame.kind),
        status=trace.Status(trace.StatusCode(frame.status), frame.description),
        start_time=frame.started,
        end_time=frame.ended,
        instrumentation_scope=InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes)
        if scope
        else None,
    )


def _plain(attributes: "Mapping[str, Any] | None") -> Attributes:
    return dict(attributes or {})


def _from_context(context: "SpanContext") -> Context:
    return Context(
        context.trace_id.to_bytes(16),
        context.span_id.to_bytes(8),
        context.is_remote,
        int(context.trace_flags),
        context.trace_state.to_header(),
    )


def _to_context(context: Context) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    return SpanContext(
        int.from_bytes(context.trace_id),
        int.from_bytes(context.span_id),
        context.remote,
        TraceFlags(context.flags),
        TraceState.from_header([context.state]) if context.state else None,
    )
