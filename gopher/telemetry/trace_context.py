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

from gopher.base.patterns import regex
from gopher.jobs.job import NewJob, with_field

Carrier = Mapping[str, str]

#: Maximum characters of a carrier's values: baggage and tracestate are dropped from longer ones.
MAX_CARRIER = 1024

#: The id of the request that submitted the job.
REQUEST_ID = "request_id"

_FIELDS = ("traceparent", "tracestate", "baggage")
#: Section 3.2. Only versions above 00 may have more after the flags.
_TRACEPARENT = regex(
    r"(?:00|(?P<later>(?!00|ff)[0-9a-f]{2}))-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<parent>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?(later)(?:-.*)?)"
)
#: The flags that version 00 defines: sampled, and random trace id. Others are passed on as 0.
_FLAGS = 0b11
#: Section 3.3: a member of tracestate, `key=value` or `tenant@system=value`.
_MEMBER = regex(
    r"(?:[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS = 32
_PRINTABLE = regex(r"[\x20-\x7e]+")
#: Optional white space around a header's value, and around a member of a list.
_BLANKS = " \t"

_NONE: Carrier = MappingProxyType({})
#: The caller's trace where tracing is off here: it is passed on to jobs unchanged.
_passed_on: ContextVar[Carrier] = ContextVar("gopher_trace", default=_NONE)


class Headers(Protocol):
    """Headers or environment variables by name."""

    def get(self, name: str, /) -> str | None: ...


def read(headers: Headers) -> dict[str, str]:
    """Return the carrier in headers (or in the lower-cased environment); {} without a valid `traceparent`."""
    parent, state, baggage = ((headers.get(name) or "").strip(_BLANKS) for name in _FIELDS)
    found = _TRACEPARENT.fullmatch(parent)
    if found is None:
        return {}
    carrier = {"traceparent": _as_version_00(found)}
    if state and _is_tracestate(state):
        carrier["tracestate"] = state
    if _PRINTABLE.fullmatch(baggage):
        carrier["baggage"] = baggage
    return bounded(carrier)


def _as_version_00(found: re.Match[str]) -> str:
    """Return what is known of a traceparent in the version that is known here."""
    # Of a later version only the sampled flag.
    known = 1 if found["later"] else _FLAGS
    return f"00-{found['trace']}-{found['parent']}-{int(found['flags'], 16) & known:02x}"


def _is_tracestate(text: str) -> bool:
    """Return whether a tracestate is valid: at most 32 members, each key once. An invalid one is dropped."""
    members = [member for each in text.split(",") if (member := each.strip(_BLANKS))]
    keys = {member.partition("=")[0] for member in members}
    return len(keys) == len(members) <= _MOST_MEMBERS and all(map(_MEMBER.fullmatch, members))


def bounded(carrier: Carrier) -> dict[str, str]:
    """Limit the size of a carrier."""
    if sum(map(len, carrier.values())) <= MAX_CARRIER:
        return dict(carrier)
    return {name: text for name, text in carrier.items() if name == "traceparent"}


def trace_id(carrier: Carrier) -> str:
    """Return the trace id of a carrier, 32 hexadecimal digits; "" without one."""
    found = _TRACEPARENT.fullmatch(carrier.get("traceparent", ""))
    return found["trace"] if found else ""


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
