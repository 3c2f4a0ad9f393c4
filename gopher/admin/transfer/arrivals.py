"""How a job of an export is imported: its state, and which fields of its record."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gopher.base.names import JOB_ID, QUEUE_NAME, TYPE_NAME
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import UNREADABLE, finite, order, text
from gopher.base.states import DEAD, ENDED, FINISHED, QUEUED, RUNNING, STATES, State
from gopher.jobs.job import created_ms
from gopher.queue.transfer_moves import ArrivingJob

from .lines import InvalidLine, JobLine

#: Fields that belong to the worker, or to the keys of the server, that the job comes from.
_LEFT_BEHIND = {
    "state", "type", "priority", "token", "settled", "holds", "parked", "cancel", "waiting_for", "children", "readers",
    "group", "plain",
}  # fmt: skip
#: Fields of a record that is not plain (see extras.lua).
_RARE = {"expires", "give_up", "retention", "unique", "bucket", "parents", "owner", "tells", "callback"}
#: Fields from which scripts read numbers.
_NUMBERS = ("attempts", "since", "due", "expires", "give_up", "retention", "started", "finished", "duration", "lost")
_read_error = msgspec.json.Decoder(dict[str, Any]).decode


def arriving(line: JobLine, exported_at: int, default_retention: int) -> ArrivingJob:
    """Return a job as it is imported. Raises InvalidLine.

    One that was running waits again, as when its worker is lost.
    """
    try:
        values = line.values()
    except ValueError as error:
        raise InvalidLine(f"has a field in 'binary' that is not Base64: {error}") from None
    _check(line, values)
    state = text(values["state"])
    if state in RUNNING:
        state = _end_attempt(values, exported_at)
    ended_at = order(values.get("finished"), created_ms(line.id))
    retention = order(values.get("retention"), default_retention)
    fields = [value for name, each in values.items() if name not in _LEFT_BEHIND for value in (name.encode(), each)]
    if not (_RARE & values.keys() or line.waits_for):
        fields += (b"plain", b"1")
    return ArrivingJob(
        id=line.id,
        type=text(values["type"]),
        priority=text(values["priority"]),
        state=state,
        at=ended_at if state in ENDED else order(values.get("due")),
        expires=(line.expires or ended_at + retention) if state in FINISHED else "",
        unique_until="" if line.unique_until is None else line.unique_until,
        waits_for=",".join(line.waits_for),
        failed_by=line.failed_by,
        group=(line.group or _group(values)) if state in DEAD else "",
        fields=fields,
    )


def _check(line: JobLine, values: Mapping[str, bytes]) -> None:
    if not QUEUE_NAME.fullmatch(line.queue):
        raise InvalidLine(f"has the queue {line.queue!r:.60}: must match {QUEUE_NAME.pattern}")
    for job_id in (line.id, *line.waits_for, *line.results, *filter(None, [line.failed_by])):
        if not JOB_ID.fullmatch(job_id):
            raise InvalidLine(f"has the job id {job_id!r:.60}: must be a UUID in lower case")
    if any(until <= 0 for _, until in line.results.values()):
        raise InvalidLine("has results that are kept until no time: must be Unix milliseconds")
    for name in ("type", "priority", "state", "envelope"):
        if name not in values:
            raise InvalidLine(f"has no field '{name}'")
    _check_fields(values)


def _check_fields(values: Mapping[str, bytes]) -> None:
    if not TYPE_NAME.fullmatch(text(values["type"])):
        raise InvalidLine(f"has the type {text(values['type'])!r:.60}: must match {TYPE_NAME.pattern}")
    for name, known in (("priority", PRIORITIES), ("state", STATES)):
        if text(values[name]) not in known:
            raise InvalidLine(f"has the {name} {text(values[name])!r:.60}: this version knows {', '.join(known)}")
    for name in _NUMBERS:
        if name in values:
            _check_number(name, values[name])


def _check_number(name: str, value: bytes) -> None:
    try:
        finite(value)
    except UNREADABLE:
        raise InvalidLine(f"has {text(value)!r:.60} in the field '{name}': must be a number") from None


def _end_attempt(values: dict[str, bytes], at: int) -> str:
    """Change the fields of a running job into those of one whose worker was lost; return its state."""
    worker, is_cancelled = text(values.get("token", b"")).rpartition(".")[0], "cancel" in values
    outcome = State.CANCELLED if is_cancelled else "lost"
    row = {"attempt": order(values.get("attempts")), "outcome": outcome, "worker": worker}
    row |= {"started_at": order(values.get("started"), at), "ended_at": at}
    history = (values.get("history"), msgspec.json.encode(row))
    values["history"] = b",".join(filter(None, history))
    values.pop("progress", None)
    if is_cancelled:
        values["finished"] = str(at).encode()
        return State.CANCELLED
    values["lost"] = str(order(values.get("lost")) + 1).encode()
    return next(state for state in State if state in QUEUED)


def _group(values: Mapping[str, bytes]) -> str:
    """Return the name of the group of a dead letter that an earlier version has stored without one."""
    try:
        error = str(_read_error(values["error"]).get("type", ""))
    except UNREADABLE:
        error = ""
    return f"{text(values['type'])}\n{error}\n"
