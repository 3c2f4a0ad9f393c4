"""The trace context of jobs, stored in their envelopes (W3C Trace Context), independent of OpenTelemetry.

A carrier has the HTTP headers as keys: `{"traceparent": "00-<trace id>-<span id>-01", "tracestate": "..."}`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Protocol

import msgspec

from gopher.jobs.job import NewJob, with_field

Carrier = Mapping[str, str]

#: Maximum characters of a carrier's values: baggage and tracestate are dropped from longer ones.
MAX_CARRIER = 1024

#: The id of the request that submitted the job.
REQUEST_ID = "request_id"

_FIELDS = ("traceparent", "tracestate", "baggage")
# Versions above 00 may have more after the flags.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")

_NONE: Carrier = MappingProxyType({})
#: The caller's trace where tracing is off here: it is passed on to jobs unchanged.
_passed_on: ContextVar[Carrier] = ContextVar("gopher_trace", default=_NONE)


class Headers(Protocol):
    """Headers or environment variables by name."""

    def get(self, name: str, /) -> str | None: ...


def read(headers: Headers) -> dict[str, str]:
    """Return the carrier in headers (or in the lower-cased environment); {} without a valid `traceparent`."""
    if not _TRACEPARENT.fullmatch((headers.get("traceparent") or "").strip()):
        return {}
    carrier = {name: text for name in _FIELDS if (text := (headers.get(name) or "").strip())}
    return bounded({name: text for name, text in carrier.items() if _PRINTABLE.fullmatch(text)})


def bounded(carrier: Carrier) -> dict[str, str]:
    """Limit the size of a carrier."""
    if sum(map(len, carrier.values())) <= MAX_CARRIER:
        return dict(carrier)
    return {name: text for name, text in carrier.items() if name == "traceparent"}


def trace_id(carrier: Carrier) -> str:
    """Return the trace id of a carrier, 32 hexadecimal digits; "" without one."""
    found = _TRACEPARENT.fullmatch(carrier.get("traceparent", ""))
    return found[1] if found else ""


def pass_on(carrier: Carrier) -> None:
    """Attach a foreign trace to this thread's further submissions."""
    _passed_on.set(carrier)


def passed_on() -> Carrier:
    return _passed_on.get()


@contextmanager
def passing_on(carrier: Carrier) -> Iterator[None]:
    token = _passed_on.set(carrier)
    try:
        yield
    finally:
        _passed_on.reset(token)


def carrying(jobs: Sequence[NewJob], carrier: Carrier) -> Sequence[NewJob]:
    """Add the current trace to the jobs' envelopes, if there is one."""
    if not carrier:
        return jobs
    field = b'"trace":' + msgspec.json.encode(carrier)
    return [msgspec.structs.replace(job, envelope=with_field(job.envelope, field)) for job in jobs]
