"""Spans of attempts from an application's own provider."""

import pytest
from gopher.testing import EagerClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gopher.hooks import registered
from gopher.integrations.opentelemetry import OpenTelemetryMiddleware
from gopher.jobs.handlers import Registry, handler


@pytest.fixture
def provider():
    provider = TracerProvider()
    registered.add(OpenTelemetryMiddleware(provider))
    yield provider
    registered.clear()
    provider.shutdown()


def test_an_attempt_is_a_span_in_the_trace_of_its_submission_and_the_handlers_are_below_it(provider):
    exported, handlers = InMemorySpanExporter(), Registry()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    tracer = provider.get_tracer("shop")

    @handler("pay", max_retries=0, into=handlers)
    def pay(job, payload):
        with tracer.start_as_current_span("ask the bank"):
            assert job.trace_id == format(trace.get_current_span().get_span_context().trace_id, "032x")
        if payload:
            raise LookupError("no account")

    with EagerClient(registry=handlers, raise_errors=False) as client, tracer.start_as_current_span("request"):
        client.enqueue("pay", {})
        client.enqueue("pay", {"fails": True})
    bank, paid, _, failed, request = exported.get_finished_spans()
    assert (bank.name, bank.parent.span_id) == ("ask the bank", paid.context.span_id)
    assert (paid.name, paid.kind, paid.parent.span_id) == (
        "process default",
        trace.SpanKind.CONSUMER,
        request.context.span_id,
    )
    assert [span.attributes["gopher.job.outcome"] for span in (paid, failed)] == ["completed", "failed"]
    assert (failed.status.description, failed.events[0].attributes["exception.type"]) == ("no account", "LookupError")
