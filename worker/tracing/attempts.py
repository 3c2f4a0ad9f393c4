"""The span of an attempt: created in the child that runs it, or by the worker's exporter if the child was killed.

Its ids are derived from the attempt's unique token, so both create the same ones: spans of the handler that left the
child before it was killed have their parent, and a retry can link to the previous attempt.
"""

import time
from hashlib import blake2b
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from gopher.worker.children import failures
from gopher.worker.messages import Assignment

from gopher import __version__
from gopher.errors import Cancelled, RateLimited, Snooze, SoftTimeout
from gopher.jobs.job import Envelope
from gopher.queue.replies import Prelude

from .spans import Attempt, Killed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Link, Span, Tracer


class Ids(Protocol):
    """The generator of span ids. `prepare` sets those of the next span."""

    def prepare(self, attempt: Attempt) -> None: ...


def make_ids() -> "IdGenerator":
    """Return an `Ids` for a provider: random ids, except for prepared spans."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class AttemptIds(RandomIdGenerator):
        _trace_id = _span_id = 0

        def prepare(self, attempt: Attempt) -> None:
            # Without a trace of the submission, all attempts of a job share a trace.
            self._trace_id = _hash(attempt.job_id, 16)
            self._span_id = _hash(attempt.token, 8)

        def generate_trace_id(self) -> int:
            prepared, self._trace_id = self._trace_id, 0
            return prepared or super().generate_trace_id()

        def generate_span_id(self) -> int:
            # The trace id is not requested if there is a parent.
            prepared, self._span_id, self._trace_id = self._span_id, 0, 0
            return prepared or super().generate_span_id()

    return AttemptIds()


class Attempts:
    """Starts the spans of attempts."""

    def __init__(self, provider: "TracerProvider", ids: Any) -> None:
        self._tracer: Tracer = provider.get_tracer("gopher", __version__)
        self._ids: Ids = ids

    def begin(self, attempt: Attempt, started: int | None = None) -> "Span":
        """Return the span of an attempt; `started` in Unix nanoseconds, None for now."""
        from opentelemetry import propagate
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        parent = propagate.extract(attempt.trace, Context())
        links = _links(attempt, parent)
        self._ids.prepare(attempt)
        return self._tracer.start_span(
            f"process {attempt.queue}",
            parent,
            SpanKind.CONSUMER,
            attributes=_attributes(attempt),
            links=links,
            start_time=started,
        )

    def end(self, killed: Killed) -> None:
        """Create the complete span of an attempt that could not end it."""
        span = self.begin(killed.attempt, killed.started)
        _close(span, killed.outcome, killed.error_type, killed.message, "", killed.ended)

    def running(self, given: Assignment, envelope: Envelope) -> "RunningSpan":
        """Return a context manager that runs an attempt within its span."""
        return RunningSpan(self.begin(attempt_of(given, envelope)))


class RunningSpan:
    """The span of the running attempt; the handler's spans become its children."""

    def __init__(self, span: "Span") -> None:
        from opentelemetry import context, trace

        self._span = span
        self._context = context
        self._before = context.attach(trace.set_span_in_context(span))

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._context.detach(self._before)
        if error is None:
            _close(self._span, "completed")
        elif (outcome := _outcome(error)) in ("failed", "timeout"):
            trace = failures.trace(error)
            _close(self._span, outcome, failures.error_type(error), failures.message(error), trace)
        else:
            _close(self._span, outcome)


def attempt_of(given: Assignment, envelope: Envelope) -> Attempt:
    job = given.job
    previous, waited = job.prelude or Prelude()
    return Attempt(
        job_id=job.id,
        job_type=job.type,
        queue=given.queue,
        priority=job.priority,
        attempt=job.attempt,
        max_retries=given.max_retries,
        token=job.token,
        previous=previous,
        waited=waited,
        size=len(bytes(envelope.payload)),
        trace=envelope.trace,
    )


def _outcome(error: BaseException) -> str:
    if isinstance(error, Snooze):
        return "snoozed"
    if isinstance(error, RateLimited):
        return "rate_limited"
    if isinstance(error, Cancelled):
        return "cancelled"
    return "timeout" if isinstance(error, SoftTimeout) else "failed"


def _close(
    span: "Span", outcome: str, error_type: str = "", message: str = "", trace: str = "", ended: int | None = None
) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("gopher.job.outcome", outcome)
    if error_type:
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR, message)
        exception = {"exception.type": error_type, "exception.message": message}
        if trace:
            exception["exception.stacktrace"] = trace
        span.add_event("exception", exception, ended or time.time_ns())
    span.end(ended)


def _attributes(attempt: Attempt) -> dict[str, Any]:
    """Return the attributes: those of the semantic conventions for messaging, and our own."""
    return {
        "messaging.system": "gopher",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": attempt.queue,
        "messaging.message.id": attempt.job_id,
        "messaging.message.body.size": attempt.size,
        "messaging.client.id": attempt.token.rpartition(".")[0],
        "gopher.job.type": attempt.job_type,
        "gopher.job.priority": attempt.priority,
        "gopher.job.attempt": attempt.attempt,
        "gopher.job.max_retries": attempt.max_retries,
        "gopher.job.waited": attempt.waited / 1000,
    }


def _links(attempt: Attempt, parent: Any) -> "list[Link]":
    """Return a link to the previous attempt, which is in the same trace."""
    from opentelemetry.trace import Link, SpanContext, TraceFlags, get_current_span

    if not attempt.previous:
        return []
    own = get_current_span(parent).get_span_context()
    trace_id = own.trace_id if own.is_valid else _hash(attempt.job_id, 16)
    flags = own.trace_flags if own.is_valid else TraceFlags(TraceFlags.SAMPLED)
    before = SpanContext(trace_id, _hash(attempt.previous, 8), True, flags)
    return [Link(before, {"gopher.link": "previous attempt"})]


def _hash(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest())
