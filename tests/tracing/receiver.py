"""An OTLP receiver over HTTP, as a collector is one: it decodes what is posted to /v1/traces and keeps the spans."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")


@dataclass
class Span:
    """A span as it arrived; ids in hexadecimal digits, times in Unix nanoseconds."""

    name: str
    kind: str
    service: str
    scope: str
    trace_id: str
    span_id: str
    parent_id: str
    started: int
    ended: int
    status: str
    message: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


class Receiver:
    """What has arrived so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        #: Set it to let nothing be answered until it is cleared.
        self.hanging = threading.Event()

    def of_trace(self, trace_id: str) -> list[Span]:
        with self.lock:
            return [span for span in self.spans if span.trace_id == trace_id]

    def of_job(self, job_id: str) -> list[Span]:
        """Return the spans of a job's attempts, in the order of the attempts."""
        with self.lock:
            spans = [span for span in self.spans if span.attributes.get("messaging.message.id") == job_id]
        return sorted((span for span in spans if span.kind == "consumer"), key=lambda span: span.started)

    def children(self, of: Span) -> list[Span]:
        return [span for span in self.of_trace(of.trace_id) if span.parent_id == of.span_id]

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        with self.lock:
            self.spans += [span for resource in request.resource_spans for span in _spans(resource)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            while receiver.hanging.is_set():
                threading.Event().wait(0.05)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            receiver.headers.append(dict(self.headers))
            receiver.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hanging.clear()
        server.shutdown()
        server.server_close()


def _spans(of: Any) -> Iterator[Span]:
    resource = _plain(of.resource.attributes)
    for scope in of.scope_spans:
        for span in scope.spans:
            yield Span(
                name=span.name,
                kind=KINDS[span.kind],
                service=resource.get("service.name", ""),
                scope=scope.scope.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                started=span.start_time_unix_nano,
                ended=span.end_time_unix_nano,
                status=STATUSES[span.status.code],
                message=span.status.message,
                attributes=_plain(span.attributes),
                resource=resource,
                events=[(event.name, _plain(event.attributes)) for event in span.events],
                links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None
