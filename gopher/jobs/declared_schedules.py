"""The schedules that a handler declares: `cron=` of its decorator."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from gopher.base.names import SCHEDULE_NAME
from gopher.errors import InvalidJob

from .decoding import explain


@dataclass(frozen=True)
class Schedule:
    """A schedule of a handler or a task: `cron=Schedule("0 6 * * mon", {"kind": "weekly"})`.

    `times` is a cron expression or an interval (`"every 45 minutes"`, `timedelta(minutes=45)`), `payload` that of its
    jobs: the arguments of a task by name. Without a timezone it is in that of the handler; without a name it has the
    name of the type, and the second one `<type>-2`, and so on.
    """

    times: str | timedelta
    payload: Mapping[str, Any] = field(default_factory=dict)
    timezone: str | None = None
    name: str | None = None
    missed: str = "run_once"
    overlap: str = "allow"


class DeclaredSchedule(NamedTuple):
    """A schedule with all that follows from its handler. The payload is JSON."""

    name: str
    cron_expression: str
    timezone: str
    payload: bytes
    missed: str = "run_once"
    overlap: str = "allow"


def schedules_of(cron: Any, timezone: str, job_type: str) -> tuple[DeclaredSchedule, ...]:
    """Return the schedules of an argument `cron=`. Raises InvalidJob for a payload that can't be encoded."""
    if cron is None:
        return ()
    # Only now: most handlers have no schedule, and need nothing of submissions.
    from .submission import to_json

    return tuple(
        DeclaredSchedule(
            each.name or (job_type if number == 1 else f"{job_type}-{number}"),
            _expression(each.times),
            each.timezone or timezone,
            to_json(each.payload, "/payload"),
            each.missed,
            each.overlap,
        )
        for number, each in enumerate(_listed(cron), 1)
    )


def mistakes_in_schedules(
    cron: Any, timezone: str, job_type: str, payload: msgspec.json.Decoder[Any] | None
) -> Iterator[str]:
    """Yield what is wrong with an argument `cron=`; payloads are decoded as the handler's, if its type is known."""
    try:
        found = schedules_of(cron, timezone, job_type)
    except (InvalidJob, TypeError) as error:
        yield f"cron={cron!r:.100}: {error}"
        return
    if twice := {each.name for each in found if [other.name for other in found].count(each.name) > 1}:
        yield f"cron: two schedules are named {min(twice)!r}; give each a name of its own"
    for each in found:
        for wrong in _mistakes(each, payload):
            # With a list, a reader has to know which.
            yield f"cron: {wrong}" if len(found) == 1 else f"cron: {each.name}: {wrong}"


def _listed(cron: Any) -> list[Schedule]:
    every = list(cron) if isinstance(cron, Sequence) and not isinstance(cron, str) else [cron]
    if wrong := next((each for each in every if not isinstance(each, str | timedelta | Schedule)), None):
        which = "" if wrong is cron else f"{wrong!r:.60} "
        raise TypeError(f"{which}must be a string, a timedelta or a Schedule")
    return [each if isinstance(each, Schedule) else Schedule(each) for each in every]


def _expression(times: Any) -> str:
    if isinstance(times, timedelta):
        from .interval import every

        return every(times)
    if not isinstance(times, str):
        raise TypeError(f"{times!r:.60} must be a string or a timedelta")
    return times


def _mistakes(schedule: DeclaredSchedule, payload: msgspec.json.Decoder[Any] | None) -> Iterator[str]:
    # What reads expressions takes some milliseconds to import.
    from .cron import check
    from .submission import MISSED, OVERLAP

    try:
        check(schedule.cron_expression, schedule.timezone)
    except InvalidJob as error:
        yield error.details if error.field == "/cron_expression" else f"timezone: {error.details}"
    if not SCHEDULE_NAME.fullmatch(schedule.name):
        yield f"name {schedule.name!r:.80} must match {SCHEDULE_NAME.pattern}"
    for name, value, choices in (("missed", schedule.missed, MISSED), ("overlap", schedule.overlap, OVERLAP)):
        if value not in choices:
            yield f"{name}={value!r:.60}: must be one of {', '.join(choices)}"
    if payload is not None:
        try:
            payload.decode(schedule.payload)
        except msgspec.ValidationError as error:
            sent = schedule.payload.decode()
            yield f"its schedule sends the payload {sent:.100}, which is invalid: {explain(error, '')}"
