"""Schedules: their definition, which of their times become jobs, and these jobs."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gopher.base import names
from gopher.base.names import SCHEDULE_NAME
from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.salvage import NO_NAME, Salvage, json_object, raw_json
from gopher.errors import InvalidJob

from .callbacks import Callback
from .decoding import decode
from .defaults import declared_for, filled
from .fields import JsonObject, Metadata, TypeName
from .job import NO_METADATA, NewJob, job_id_from
from .prepare import place_of, prepare
from .registry import Registry
from .submission import (
    MISSED,
    NULL,
    OVERLAP,
    ExpiresIn,
    LimitKey,
    MaxRetries,
    Missed,
    Overlap,
    Recurring,
    Retention,
    RetryFor,
    Submission,
    SubmittedCallback,
    SubmittedPriority,
    SubmittedQueue,
    SubmittedTenant,
    Tags,
    Timeout,
    Timezone,
    to_json,
)
from .submission import CronExpression as CronText

if TYPE_CHECKING:
    from .declared_schedules import DeclaredSchedule
    from .fire_times import FireTimes
    from .handlers import Handler

    # What may be passed: it is stored as JSON.
    _Payload = Any
    _Metadata = Any
else:
    _Payload, _Metadata = JsonObject, Metadata

#: What a caller may expect instead of a version: that a schedule does not exist, or that it exists.
ABSENT, ANY = "", "*"
#: A time that is later than this (ms), or than half the period, counts as missed rather than late.
TOLERANCE = 5_000
#: One that is at most this late (ms) never does: no expression fires more than once per second.
ON_TIME = 500
#: Maximum number of jobs that `run_all` creates together.
MAX_CATCH_UP = 100
#: Dropped times are counted up to this: counting costs time, and after a long absence there may be millions.
MAX_COUNTED = 1_000


class ScheduleSpec(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The definition of a schedule: its times and its job. Durations as in a submission."""

    cron_expression: CronText
    type: TypeName
    payload: _Payload
    timezone: Timezone = "UTC"
    #: What to do about missed times: skip, run_once, run_all.
    missed: Missed = "run_once"
    #: Whether to create a job while the previous one is unfinished: allow, skip.
    overlap: Overlap = "allow"
    paused: Annotated[bool, Meta(description="Create the schedule paused.")] = False
    #: What is unset, or None, is the handler's when the schedule is created (see `as_declared`).
    priority: SubmittedPriority | UnsetType = UNSET
    queue: SubmittedQueue | UnsetType = UNSET
    max_retries: MaxRetries | None = None
    timeout: Timeout | None = None
    expires_in: ExpiresIn | None = None
    retention: Retention | None = None
    retry_for: RetryFor | None = None
    limit_key: LimitKey | None = None
    tenant: SubmittedTenant | UnsetType | None = UNSET
    metadata: _Metadata = msgspec.field(default_factory=lambda: NULL)
    tags: Tags | UnsetType = UNSET
    callback: SubmittedCallback | UnsetType = UNSET
    #: "handler" for a schedule declared by a handler; clients can't set it.
    origin: Annotated[str, Meta(extra_json_schema={"const": "api"})] = "api"

    def __post_init__(self) -> None:
        # As for `Client.enqueue`, what has a JSON form may be passed as it is.
        for name in ("payload", "metadata"):
            value: Any = getattr(self, name)
            if not isinstance(value, msgspec.Raw):
                msgspec.structs.force_setattr(self, name, msgspec.Raw(to_json(value, f"/{name}")))

    @property
    def in_queue(self) -> str:
        """The queue of the schedule and its jobs."""
        return self.queue or "default"

    def definition(self) -> bytes:
        """Return the stored JSON, which is the same for equal schedules."""
        return msgspec.json.encode(_with_newer_in_metadata(as_declared(self, None)), order="deterministic")

    def submission(self) -> Submission:
        """Return the submission of one job."""
        return Submission(**_shared(self))


#: The fields of a job that a schedule has too.
_SHARED = [name for name in ScheduleSpec.__struct_fields__ if name in Submission.__struct_fields__]


def _shared(source: ScheduleSpec | Submission) -> dict[str, Any]:
    """Return what one of them says of the job; what is None or unset has its default there."""
    return {name: value for name in _SHARED if (value := getattr(source, name)) is not None and value is not UNSET}


_SPEC = msgspec.json.Decoder(ScheduleSpec)


def parse_spec(body: bytes, registry: Registry | None) -> ScheduleSpec:
    """Parse and validate a stored schedule. Raises InvalidJob."""
    spec = _with_own_newer(decode(_SPEC, body))
    handler = declared_for(spec.type, registry) if registry is not None else None
    return _valid(as_declared(spec, handler), registry)


#: Where the metadata of a stored schedule has some of its fields, and their types: processes of the release before
#: reject fields that they do not know, and do not fire such a schedule, but keep the metadata as it is.
_IN_METADATA: dict[str, tuple[str, Any]] = {
    "tags": ("gopher.tags", list[str]),
    "callback": ("gopher.callback", Callback),
    "tenant": ("gopher.tenant", str),
}
_METADATA = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def _with_newer_in_metadata(spec: ScheduleSpec) -> ScheduleSpec:
    moved = [name for name in _IN_METADATA if getattr(spec, name)]
    if not moved:
        # Not null either, which those processes do not know.
        return msgspec.structs.replace(spec, tenant=UNSET)
    named = _METADATA.decode(spec.metadata) or {}
    for name in moved:
        named[_IN_METADATA[name][0]] = msgspec.Raw(msgspec.json.encode(getattr(spec, name)))
    metadata = msgspec.Raw(msgspec.json.encode(named))
    return msgspec.structs.replace(spec, metadata=metadata, **dict.fromkeys(_IN_METADATA, UNSET))


def _with_own_newer(spec: ScheduleSpec) -> ScheduleSpec:
    stored = bytes(spec.metadata)
    if not any(key.encode() in stored for key, _ in _IN_METADATA.values()):
        return spec
    values: dict[str, Any] = {}
    try:
        named = _METADATA.decode(spec.metadata) or {}
        for name, (key, kind) in _IN_METADATA.items():
            if key in named:
                values[name] = msgspec.json.decode(named.pop(key), type=kind) or getattr(spec, name)
    except msgspec.DecodeError:
        # The rest of the validation reports what is wrong with it.
        return spec
    metadata = msgspec.Raw(msgspec.json.encode(named)) if named else NULL
    return msgspec.structs.replace(spec, **values, metadata=metadata)


#: The fields of a schedule that a handler may declare, and what they are without that.
_DECLARED: dict[str, Any] = {
    "queue": "default",
    "priority": DEFAULT_PRIORITY,
    "retention": None,
    "expires_in": None,
    "tags": UNSET,
}


def as_declared(spec: ScheduleSpec, handler: "Handler | None") -> ScheduleSpec:
    """Return a schedule with what its handler declares, or else the defaults, where it says nothing itself."""
    values: dict[str, Any] = {}
    for name, default in _DECLARED.items():
        said = getattr(spec, name)
        if said is UNSET or said is None:
            declared = getattr(handler, name, None)
            values[name] = default if declared is None or declared == () else declared
    # Absent rather than empty: so it is the same definition as in earlier versions.
    if not values.get("tags", spec.tags):
        values["tags"] = UNSET
    return msgspec.structs.replace(spec, **values)


def declared_spec(handler: "Handler", schedule: "DeclaredSchedule", known: bytes | None) -> ScheduleSpec | None:
    """Return a schedule that a handler declares, None if an operator has changed the known one. A corrupt one is
    replaced, and a paused one stays so."""
    try:
        spec = parse_spec(known, None) if known is not None else None
    except InvalidJob:
        spec = None
    if spec is not None and spec.origin != "handler":
        return None
    declared = ScheduleSpec(
        cron_expression=schedule.cron_expression,
        timezone=schedule.timezone,
        type=handler.name,
        payload=msgspec.Raw(schedule.payload),
        missed=schedule.missed,
        overlap=schedule.overlap,
        paused=bool(spec and spec.paused),
        origin="handler",
    )
    return as_declared(declared, handler)


def salvaged_spec(body: bytes, queue: str) -> tuple[ScheduleSpec, list[str]]:
    """Return a stored schedule, and the names of its invalid fields.

    Fields that can't be shown have their defaults.
    """
    try:
        return parse_spec(body, None), []
    except InvalidJob as error:
        unusable = [error.field.lstrip("/")] if error.field else []
    salvage = Salvage()
    nothing: Mapping[str, Any] = {}
    values = salvage.read("definition", lambda: json_object(body), nothing)
    shown: dict[str, Any] = {"cron_expression": "", "type": NO_NAME, "payload": NO_METADATA, "queue": queue}
    for field in msgspec.structs.fields(ScheduleSpec):
        if field.name in values:
            instead = shown.get(field.name, field.default)
            shown[field.name] = salvage.read(field.name, partial(_field, field, values[field.name]), instead)
        elif field.required:
            salvage.corrupt.append(field.name)
    known = {name: value for name, value in shown.items() if value is not msgspec.NODEFAULT}
    return as_declared(ScheduleSpec(**known), None), list(dict.fromkeys([*salvage.corrupt, *unusable]))


#: A valid schedule, for validating a single field of another one.
_ANY_SPEC = ScheduleSpec(cron_expression="@daily", type="any", payload=NO_METADATA)


def _field(field: msgspec.structs.FieldInfo, value: Any) -> Any:
    """Validate a single field and return its value. Raises InvalidJob, or an error of msgspec."""
    is_json = field.name in ("payload", "metadata")
    read = raw_json(msgspec.json.encode(value)) if is_json else msgspec.convert(value, field.type)
    # A timezone or an expression that is invalid here, but perhaps not on another host, is shown nevertheless.
    if field.name not in ("timezone", "cron_expression"):
        _valid(msgspec.structs.replace(_ANY_SPEC, **{field.name: read}), None)
    return read


def check_spec(spec: ScheduleSpec, registry: Registry | None) -> ScheduleSpec:
    """Validate a new schedule. Raises InvalidJob."""
    from .cron import check

    _valid(spec, registry)
    check(spec.cron_expression, spec.timezone)
    return spec


def _valid(spec: ScheduleSpec, registry: Registry | None) -> ScheduleSpec:
    if spec.missed not in MISSED:
        raise InvalidJob(f"is {spec.missed!r:.60}: must be one of {', '.join(MISSED)}", "/missed")
    if spec.overlap not in OVERLAP:
        raise InvalidJob(f"is {spec.overlap!r:.60}: must be one of {', '.join(OVERLAP)}", "/overlap")
    if spec.origin not in ("api", "handler"):
        raise InvalidJob("is not a known field: remove it", "/origin")
    cron_of(spec)
    prepare(spec.submission(), registry, as_declared=False)
    return spec


#: Values of options that are not given.
_NONE: tuple[Any, ...] = (None, [], {}, UNSET, False)


def cron_of(spec: ScheduleSpec) -> "FireTimes":
    """Return the times of a schedule. Raises InvalidJob."""
    # Only now: most programs submit jobs without a schedule, and what reads expressions takes some milliseconds.
    from .cron import cached_cron

    return cached_cron(spec.cron_expression, spec.timezone)


def check_name(name: str, field: str = "/name") -> str:
    return names.check_name(SCHEDULE_NAME, name, field)


def from_recurring(recurring: Recurring, submission: Submission, registry: Registry | None) -> tuple[str, ScheduleSpec]:
    """Return the name and the schedule of a recurring submission. Raises InvalidJob."""
    handler = declared_for(submission.type, registry)
    submission = filled(submission, handler) if handler is not None else submission
    queue, priority = place_of(submission)
    submission = msgspec.structs.replace(submission, queue=queue, priority=priority)
    for field in msgspec.structs.fields(Submission):
        if (
            field.name not in (*_SHARED, "recurring", "on_parent_failure")
            and getattr(submission, field.name) not in _NONE
        ):
            raise InvalidJob("can't be given together with recurring", f"/{field.name}")
    spec = ScheduleSpec(
        cron_expression=recurring.cron_expression,
        timezone=recurring.timezone,
        missed=recurring.missed,
        overlap=recurring.overlap,
        **_shared(submission),
    )
    try:
        check_spec(spec, registry)
    except InvalidJob as error:
        if error.field in ("/cron_expression", "/timezone", "/missed", "/overlap"):
            raise InvalidJob(error.details, f"/recurring{error.field}") from None
        raise
    digest = hashlib.sha256(spec.definition()).hexdigest()[:8]
    name = f"{submission.type[:50]}-{digest}" if recurring.name is None else recurring.name
    return check_name(name, "/recurring/name"), spec


def tick_job(spec: ScheduleSpec, name: str, namespace: str, fire: int) -> NewJob:
    """Return the job of one time (Unix ms). Its id is derived from name and time: a tick is one job, even if it is
    retried."""
    job = prepare(spec.submission(), as_declared=False)
    return msgspec.structs.replace(job, id=job_id_from(fire, f"{namespace} {name} {fire}"))


def job_now(spec: ScheduleSpec) -> NewJob:
    """Return a job of a schedule for running it now."""
    return prepare(spec.submission(), as_declared=False)


def plan(spec: ScheduleSpec, expected: int, now: int, limit: int = MAX_CATCH_UP) -> tuple[list[int], int]:
    """Return which times of a schedule become jobs at `now`, oldest first, and the next time (Unix ms).

    `expected` is the due time. Example: every minute, expected 12:00 and now 12:03:10. The times 12:00 to 12:03 are
    due: run_once creates one job (of 12:03), run_all four, skip none, since each is more than 5 s late. Times that are
    less late always become jobs; run_all creates at most `limit` jobs, of these and the oldest others.
    """
    if expected > now:
        return [], expected
    cron = cron_of(spec)
    if now - expected <= ON_TIME and (next_time := cron.next_after(expected)) > now:
        return [expected][: max(limit, 0)], next_time
    next_time = cron.next_after(now)
    # Times after the edge are on time, those up to it were missed.
    edge = now - min(TOLERANCE, cron.period_after(expected) // 2) - 1
    on_time = _times(cron, expected, edge, now, limit)
    if spec.missed == "skip" or (spec.missed == "run_once" and on_time):
        return on_time, next_time
    if spec.missed == "run_once":
        return [cron.last_until(now, expected)], next_time
    missed = _times(cron, expected, expected - 1, edge, limit - len(on_time))
    return missed + on_time, next_time


def dropped(spec: ScheduleSpec, expected: int, fires: list[int], next_time: int) -> int:
    """Return how many due times `plan` dropped for `run_all`: MAX_COUNTED for that many or more."""
    if spec.missed != "run_all":
        return 0
    cron = cron_of(spec)
    due = _times(cron, expected, expected - 1, next_time - 1, MAX_COUNTED + len(fires))
    return len(due) - len(set(due).intersection(fires)) if len(due) < MAX_COUNTED + len(fires) else MAX_COUNTED


def _times(cron: "FireTimes", expected: int, after: int, until: int, limit: int) -> list[int]:
    """Return the due times after `after` up to `until`; includes `expected` even if the zone's rules have changed."""
    first = [expected] if after < expected <= until else []
    return (first + cron.fires_between(max(after, expected), until, limit))[: max(limit, 0)]
