"""Converts a job's record to the model for display.

Each field is read separately, so that a partly corrupt record is shown with the fields that can be read (salvage.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from gopher.base.durations import in_seconds
from gopher.base.names import JOB_ID, TYPE_NAME
from gopher.base.priorities import DEFAULT_PRIORITY, PRIORITIES
from gopher.base.salvage import NO_NAME, NO_TIME, Salvage, finite, json_object, moment, raw_json, text, whole
from gopher.base.states import RUNNING, STATES, SUCCEEDED, TIMED, UNSTARTED, State
from gopher.base.times import to_rfc3339
from gopher.config.settings import Settings
from gopher.jobs.attempts import HistoryRow
from gopher.jobs.callbacks import Callback
from gopher.jobs.files import SentFile
from gopher.jobs.handlers import Handler
from gopher.jobs.job import Envelope, created_ms
from gopher.jobs.models import JobView, LogLine, MemoryWait
from gopher.jobs.options import Options, resolve
from gopher.jobs.registry import Registry
from gopher.telemetry.trace_context import trace_id

from .frozen import read_frozen
from .memory_wait import wait_for_memory

#: The fields of a record that are shown: all except the logs.
FIELDS = (
    "type state priority since envelope attempts crashes lost token started finished duration due expires "
    "progress result error history cancel created copies waiting_for usage tells frozen memory_wait"
).split()
#: A record without any of these does not exist any more.
_OF_EVERY_JOB = ("state", "type", "priority", "envelope")

Record = Mapping[str, bytes]

_HISTORY = msgspec.json.Decoder(list[Any])
_ENVELOPE = msgspec.json.Decoder(Envelope)
_LOG = msgspec.json.Decoder(list[Any])
_NULL = msgspec.Raw(b"null")
_OF_BATCH = re.compile(r"batch \S+ \S+$")
_NO_OPTIONS = Options(0, 0.0)
#: Seconds of CPU time in user and system mode, and bytes of memory at the peak.
_Usage = tuple[float | None, float | None, int | None]
_NO_USAGE: _Usage = (None, None, None)


def _batch(record: Record) -> str:
    """Return the batch that counts a job; its envelope may be that of a submission that has replaced it."""
    return next((each.split(" ")[2] for each in text(record.get("tells", b"")).split(",") if _OF_BATCH.match(each)), "")


def is_there(record: Record) -> bool:
    """Return whether fields are those of an existing job."""
    return any(name in record for name in _OF_EVERY_JOB)


def job_view(
    queue: str, job_id: str, record: Record, registry: Registry, settings: Settings, now: Callable[[], int]
) -> JobView:
    """Return a job for display; fields that can't be read are listed in `corrupt`.

    `now` returns the server's clock in Unix ms, which few jobs need.
    """
    salvage = Salvage()
    read = salvage.read
    state = read("status", lambda: _state(record), NO_NAME)
    if state in UNSTARTED and read("expires_at", lambda: _is_over(record, now), False):
        state = State.EXPIRED
    job_type = read("type", lambda: _job_type(record), NO_NAME)
    envelope = read("payload", lambda: _envelope(record), Envelope())
    options = read("timeout", lambda: _options(envelope, registry.get(job_type), settings), _NO_OPTIONS)
    attempts = read("attempts", lambda: whole(record.get("attempts", 0)), 0)
    started = read("started_at", lambda: _time(record, "started"), None)
    finished = read("finished_at", lambda: _time(record, "finished"), None)
    worker = read("worker", lambda: _worker(record), None)
    history = _history(record, salvage)
    if state in RUNNING | SUCCEEDED and "started" in record:
        # The running or successful attempt has no history row: it is in the record.
        outcome = "completed" if state in SUCCEEDED else "running"
        used = read("usage", lambda: _usage(record), _NO_USAGE)
        lasted = read("duration", lambda: _duration(record), None) if state in SUCCEEDED else None
        frozen = read("frozen", lambda: _frozen(record), (UNSET, UNSET))
        history.append(HistoryRow(attempts, outcome, worker, started, finished, None, lasted, *used, *frozen))
    return JobView(
        job_id=job_id,
        type=job_type,
        status=state,
        queue=queue,
        priority=read("priority", lambda: _priority(record), DEFAULT_PRIORITY),
        payload=envelope.payload,
        metadata=envelope.metadata,
        tags=list(envelope.tags),
        callback=read("callback", lambda: _callback(envelope), UNSET),
        files=_files(envelope) if envelope.files else UNSET,
        batch=_batch(record) or envelope.batch or UNSET,
        attempts=attempts,
        crashes=_crashes(record),
        lost=read("lost", lambda: whole(record.get("lost", 0)), 0) or UNSET,
        max_retries=options.max_retries,
        timeout=options.timeout,
        created_at=read("created_at", lambda: to_rfc3339(_created(record, job_id)), NO_TIME),
        execute_at=read("execute_at", lambda: _execute_at(record, state, envelope), None),
        started_at=started,
        finished_at=finished,
        duration=read("duration", lambda: _duration(record), None),
        worker=worker,
        memory_wait=read("memory_wait", lambda: _memory_wait(record), UNSET),
        owner=envelope.owner,
        tenant=envelope.tenant,
        copied_from=envelope.copied_from or UNSET,
        copies=read("copies", lambda: _ids(record.get("copies")), []) or UNSET,
        trace_id=trace_id(envelope.trace) or None,
        progress=read("progress", lambda: _progress(record, state), None),
        result=read("result", lambda: raw_json(record["result"]) if "result" in record else _NULL, _NULL),
        error=read("error", lambda: _error(record), None),
        history=history,
        corrupt=salvage.corrupt or UNSET,
    )


def _created(record: Record, job_id: str) -> float:
    """Return when a job was created, which an id that its submitter has chosen does not tell."""
    return moment(record["created"]) if "created" in record else created_ms(job_id)


def _ids(listed: bytes | None) -> list[str]:
    ids = listed.decode().split(",") if listed else []
    if not all(map(JOB_ID.fullmatch, ids)):
        raise ValueError(ids)
    return ids


def _callback(envelope: Envelope) -> Callback | UnsetType:
    return msgspec.convert(envelope.callback, Callback) if envelope.callback else UNSET


def _crashes(record: Record) -> int | UnsetType:
    """Return how many attempts have crashed; each has left how."""
    return len(text(record["crashes"]).split(",")) if record.get("crashes") else UNSET


def log_lines(record: Mapping[bytes, bytes]) -> list[LogLine]:
    """Return the log of a job's attempts from its record, oldest line first."""
    logs: list[tuple[int, bytes]] = []
    salvage = Salvage()
    for name, value in record.items():
        if name.startswith(b"log:"):
            attempt = salvage.read("log", partial(whole, name[4:]), 0)
            logs.append((attempt, value))
    return [line for attempt, value in sorted(logs) for line in _lines(attempt, value)]


def _lines(attempt: int, value: bytes) -> Iterator[LogLine]:
    salvage, nothing = Salvage(), list[Any]()
    for row in salvage.read("log", lambda: _LOG.decode(value), nothing):
        line = salvage.read("log", partial(_line, attempt, row), None)
        if line is not None:
            yield line
    if salvage.corrupt:
        yield LogLine(attempt, NO_TIME, "(unreadable: the record is corrupt)")


def _line(attempt: int, row: Any) -> LogLine:
    when, line = row
    return LogLine(attempt, to_rfc3339(moment(when)), str(line))


def _state(record: Record) -> str:
    return STATES[record["state"].decode()]


def _is_over(record: Record, now: Callable[[], int]) -> bool:
    expires = record.get("expires")
    return expires is not None and int(expires) <= now()


def _job_type(record: Record) -> str:
    name = record["type"].decode()
    if not TYPE_NAME.fullmatch(name):
        raise ValueError(name)
    return name


def _priority(record: Record) -> str:
    return PRIORITIES[PRIORITIES.index(record["priority"].decode())]


def _envelope(record: Record) -> Envelope:
    data = record["envelope"]
    raw_json(data)
    return _ENVELOPE.decode(data)


def _files(envelope: Envelope) -> dict[str, SentFile]:
    return {name: SentFile(ref.name, ref.size, ref.content_type) for name, ref in envelope.files.items()}


def _options(envelope: Envelope, handler: Handler | None, settings: Settings) -> Options:
    options = resolve(envelope, handler, settings)
    whole(options.max_retries)
    return options


def _time(record: Record, name: str) -> str | None:
    return to_rfc3339(moment(record[name])) if name in record else None


def _duration(record: Record) -> float | None:
    duration = record.get("duration")
    return in_seconds(finite(duration)) if duration else None


def _usage(record: Record) -> _Usage:
    """Return what the successful attempt has used."""
    if not record.get("usage"):
        return _NO_USAGE
    user, system, peak = text(record["usage"]).split(" ")[:3]
    return in_seconds(finite(user)), in_seconds(finite(system)), whole(peak) or None


def _frozen(record: Record) -> tuple[float | UnsetType, str | UnsetType]:
    """Return for how many seconds the running or successful attempt was frozen, and since when it is."""
    found = read_frozen(text(record.get("frozen", b"")), text(record.get("token", b"")))
    if found is None:
        return UNSET, UNSET
    if found.since is None or _state(record) not in RUNNING:
        return in_seconds(found.before), UNSET
    return in_seconds(found.before), to_rfc3339(found.since)


def _memory_wait(record: Record) -> MemoryWait | UnsetType:
    wait = wait_for_memory(record.get("memory_wait"), record.get("token"))
    if wait is None:
        return UNSET
    return MemoryWait(wait.needs, to_rfc3339(wait.since), None if wait.until is None else to_rfc3339(wait.until))


def _worker(record: Record) -> str | None:
    token = record.get("token")
    return token.decode().rpartition(".")[0] if token else None


def _execute_at(record: Record, state: str, envelope: Envelope) -> str | None:
    # One that waits for others is due when those have ended.
    if state in TIMED and "due" in record and "waiting_for" not in record:
        return _time(record, "due")
    return None if envelope.execute_at is None else to_rfc3339(envelope.execute_at)


def _progress(record: Record, state: str) -> msgspec.Raw | None:
    """Return the progress of a running job. After its end, the last report is meaningless."""
    if state not in RUNNING or "progress" not in record:
        return None
    progress = json_object(record["progress"])
    finite(progress["fraction"])
    return raw_json(record["progress"])


def _error(record: Record) -> msgspec.Raw | None:
    if "error" not in record:
        return None
    _check_error(json_object(record["error"]))
    return raw_json(record["error"])


def _check_error(error: Any) -> None:
    if not (isinstance(error["type"], str) and isinstance(error["message"], str)):
        raise TypeError("expected texts")


def _history(record: Record, salvage: Salvage) -> list[HistoryRow]:
    """Return the stored rows of attempts, without corrupt ones."""
    kept = record.get("history")
    if not kept:
        return []
    noted, nothing = Salvage(), list[Any]()
    found = noted.read("history", lambda: _HISTORY.decode(b"[" + kept + b"]"), nothing)
    rows = [noted.read("history", partial(_history_row, row), None) for row in found]
    salvage.corrupt += noted.corrupt[:1]
    return [row for row in rows if row is not None]


def _history_row(row: Mapping[str, Any]) -> HistoryRow:
    error = row.get("error")
    if error is not None:
        _check_error(error)
    return HistoryRow(
        attempt=whole(row["attempt"]),
        outcome=_text(row["outcome"]),
        worker=_text(row["worker"]),
        started_at=to_rfc3339(moment(row["started_at"])),
        ended_at=to_rfc3339(moment(row["ended_at"])),
        error=error,
        duration=_number(row.get("duration")),
        cpu_user=_number(row.get("cpu_user")),
        cpu_system=_number(row.get("cpu_system")),
        peak_memory=whole(row["peak_memory"]) if row.get("peak_memory") else None,
        frozen=finite(row["frozen"]) if "frozen" in row else UNSET,
    )


def _number(value: Any) -> float | None:
    return None if value is None else finite(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value
