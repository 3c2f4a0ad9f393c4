"""Schedules: their definition, which of their times become jobs, and these jobs."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gopher.base import names
from gopher.base.names import SCHEDULE_NAME
from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.salvage import NO_NAME, Salvage, json_object, raw_json
from gopher.errors import InvalidJob

from .cron import CronExpression
from .decoding import decode
from .defaults import declared_for, filled
from .fields import JsonObject, Metadata, TypeName
from .handlers import Handler, Registry
from .job import NO_METADATA, NewJob, job_id_from
from .prepare import prepare
from .submission import (
    MISSED,
    NULL,
    OVERLAP,
    ExpiresIn,
    JobPriority,
    JobQueue,
    LimitKey,
    MaxRetries,
    Missed,
    Overlap,
    Recurring,
    Retention,
    RetryFor,
    Submission,
    Timeout,
    Timezone,
)
from .submission import CronExpression as CronText

#: A time that is later than this (ms), or than half the period, counts as missed rather than late.
TOLERANCE = 5_000
#: Maximum number of jobs that `run_all` creates together.
MAX_CATCH_UP = 100
#: Dropped times are counted up to this: counting costs time, and after a long absence there may be millions.
MAX_COUNTED = 1_000


class ScheduleSpec(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The definition of a schedule: its times and its job. Durations as in a submission."""

    cron_expression: CronText
    type: TypeName
    payload: JsonObject
    timezone: Timezone = "UTC"
    #: What to do about missed times: skip, run_once, run_all.
    missed: Missed = "run_once"
    #: Whether to create a job while the previous one is unfinished: allow, skip.
    overlap: Overlap = "allow"
    paused: Annotated[bool, Meta(description="Create the schedule paused.")] = False
    priority: JobPriority = DEFAULT_PRIORITY
    queue: JobQueue = "default"
    max_retries: MaxRetries | None = None
    timeout: Timeout | None = None
    expires_in: ExpiresIn | None = None
    retention: Retention | None = None
    retry_for: RetryFor | None = None
    limit_key: LimitKey | None = None
    metadata: Metadata = msgspec.field(default_factory=lambda: NULL)
    #: "handler" for a schedule declared by a handler; clients can't set it.
    origin: Annotated[str, Meta(extra_json_schema={"const": "api"})] = "api"

    def definition(self) -> bytes:
        """Return the stored JSON, which is the same for equal schedules."""
        return msgspec.json.encode(self, order="deterministic")

    def submission(self) -> Submission:
        """Return the submission of one job."""
        return Submission(**_shared(self))


#: The fields of a job that a schedule has too.
_SHARED = [name for name in ScheduleSpec.__struct_fields__ if name in Submission.__struct_fields__]


def _shared(source: ScheduleSpec | Submission) -> dict[str, Any]:
    return {name: getattr(source, name) for name in _SHARED}


_SPEC = msgspec.json.Decoder(ScheduleSpec)


def parse_spec(body: bytes, registry: Registry | None) -> ScheduleSpec:
    """Parse and validate a schedule. Raises InvalidJob."""
    spec = decode(_SPEC, body)
    handler = declared_for(spec.type, registry) if registry is not None else None
    if handler is not None:
        said = json_object(body)
        spec = as_declared(spec, handler, [name for name in _DECLARED if name not in said])
    return check_spec(spec, registry)


#: The fields of a schedule that a handler may declare.
_DECLARED = ("queue", "priority", "retention", "expires_in")


def as_declared(spec: ScheduleSpec, handler: Handler, fields: Iterable[str] = _DECLARED) -> ScheduleSpec:
    """Return a schedule with some fields as its handler declares them."""
    values = {name: value for name in fields if (value := getattr(handler, name)) is not None}
    return msgspec.structs.replace(spec, **values)


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
    return ScheduleSpec(**known), list(dict.fromkeys([*salvage.corrupt, *unusable]))


#: A valid schedule, for validating a single field of another one.
_ANY_SPEC = ScheduleSpec(cron_expression="@daily", type="any", payload=NO_METADATA)


def _field(field: msgspec.structs.FieldInfo, value: Any) -> Any:
    """Validate a single field and return its value. Raises InvalidJob, or an error of msgspec."""
    is_json = field.name in ("payload", "metadata")
    read = raw_json(msgspec.json.encode(value)) if is_json else msgspec.convert(value, field.type)
    # A timezone or an expression that is invalid here, but perhaps not on another host, is shown nevertheless.
    if field.name not in ("timezone", "cron_expression"):
        check_spec(msgspec.structs.replace(_ANY_SPEC, **{field.name: read}), None)
    return read


def check_spec(spec: ScheduleSpec, registry: Registry | None) -> ScheduleSpec:
    """Validate a schedule. Raises InvalidJob."""
    if spec.missed not in MISSED:
        raise InvalidJob(f"is {spec.missed!r:.60}: must be one of {', '.join(MISSED)}", "/missed")
    if spec.overlap not in OVERLAP:
        raise InvalidJob(f"is {spec.overlap!r:.60}: must be one of {', '.join(OVERLAP)}", "/overlap")
    if spec.origin not in ("api", "handler"):
        raise InvalidJob("is not a known field: remove it", "/origin")
    CronExpression(spec.cron_expression, spec.timezone)
    prepare(spec.submission(), registry, as_declared=False)
    return spec


def check_name(name: str, field: str = "/name") -> str:
    return names.check_name(SCHEDULE_NAME, name, field)


def from_recurring(recurring: Recurring, submission: Submission, registry: Registry | None) -> tuple[str, ScheduleSpec]:
    """Return the name and the schedule of a recurring submission. Raises InvalidJob."""
    handler = declared_for(submission.type, registry)
    submission = filled(submission, handler) if handler is not None else submission
    submission = msgspec.structs.replace(
        submission, queue=submission.queue or "default", priority=submission.priority or DEFAULT_PRIORITY
    )
    for field in msgspec.structs.fields(Submission):
        if field.name not in (*_SHARED, "recurring", "on_parent_failure") and getattr(submission, field.name):
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
    cron = CronExpression(spec.cron_expression, spec.timezone)
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
    cron = CronExpression(spec.cron_expression, spec.timezone)
    due = _times(cron, expected, expected - 1, next_time - 1, MAX_COUNTED + len(fires))
    return len(due) - len(set(due).intersection(fires)) if len(due) < MAX_COUNTED + len(fires) else MAX_COUNTED


def _times(cron: CronExpression, expected: int, after: int, until: int, limit: int) -> list[int]:
    """Return the due times after `after` up to `until`; includes `expected` even if the zone's rules have changed."""
    first = [expected] if after < expected <= until else []
    return (first + cron.fires_between(max(after, expected), until, limit))[: max(limit, 0)]
