"""The trace that a job belongs to, as its envelope carries it (W3C Trace Context). Nothing here knows OpenTelemetry.

A carrier is what HTTP would have as headers: `{"traceparent": "00-<trace id>-<span id>-01", "tracestate": "..."}`.
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

#: Characters of all of a carrier's values: a longer one loses its baggage and its tracestate.
MAX_CARRIER = 1024

#: The request that submitted the job, beside its trace.
REQUEST_ID = "request_id"

_FIELDS = ("traceparent", "tracestate", "baggage")
# A version above 00 may have more behind the flags.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")

_NONE: Carrier = MappingProxyType({})
#: What a caller's own trace is, where nobody here makes spans: it goes on with the jobs as it came.
_passed_on: ContextVar[Carrier] = ContextVar("gopher_trace", default=_NONE)


class Headers(Protocol):
    """What has headers, or variables of the environment, by name."""

    def get(self, name: str, /) -> str | None: ...


def read(headers: Headers) -> dict[str, str]:
    """Return the carrier in headers (or in the environment, lower-cased); {} when there is no valid `traceparent`."""
    if not _TRACEPARENT.fullmatch((headers.get("traceparent") or "").strip()):
        return {}
    carrier = {name: text for name in _FIELDS if (text := (headers.get(name) or "").strip())}
    return bounded({name: text for name, text in carrier.items() if _PRINTABLE.fullmatch(text)})


def bounded(carrier: Carrier) -> dict[str, str]:
    """Return a carrier that is no larger than a job may carry."""
    if sum(map(len, carrier.values())) <= MAX_CARRIER:
        return dict(carrier)
    return {name: text for name, text in carrier.items() if name == "traceparent"}


def trace_id(carrier: Carrier) -> str:
    """Return the id of a carrier's trace, 32 hexadecimal digits; "" when it has none."""
    found = _TRACEPARENT.fullmatch(carrier.get("traceparent", ""))
    return found[1] if found else ""


def pass_on(carrier: Carrier) -> None:
    """Have what this thread submits from now on carry a trace that somebody else began."""
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
    """Return the jobs with a trace in their envelopes; as they are when there is none."""
    if not carrier:
        return jobs
    field = b'"trace":' + msgspec.json.encode(carrier)
    return [msgspec.structs.replace(job, envelope=with_field(job.envelope, field)) for job in jobs]
