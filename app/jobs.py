"""/api/v1/jobs: submit, look, wait, cancel."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, g, request

from gopher.client import Stored
from gopher.durations import parse_duration
from gopher.errors import InvalidJob, JobNotFound, ServerError
from gopher.idempotency import ids_for, request_for, with_ids
from gopher.job import FINAL_STATES, NewJob, State, created_ms
from gopher.limits import format_rate
from gopher.queue import Request
from gopher.registry import Handler
from gopher.schedule import from_recurring, job_now
from gopher.settings import Settings
from gopher.submission import Recurring, Submission, parse, parse_batch, prepare, prepare_batch
from gopher.times import to_rfc3339
from gopher.views import JobView

from .answers import answer
from .capacity import LONGEST_WAIT
from .context import context, gopher
from .examples import curl
from .requests import body, query, whole_number

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")

#: Log lines that an answer holds at most: the last ones.
_LINES = 200


@blueprint.post("")
def submit() -> Response:
    asked = query("wait", "dry_run")
    seconds = _wait_asked(asked)
    submission = parse(body())
    if submission.recurring is not None:
        return _scheduled(submission, submission.recurring, dry_run=_is_dry_run(asked))
    job = prepare(submission, context().registry)
    if _is_dry_run(asked):
        return answer(gopher().rehearse(job))
    request_made = _idempotency()
    if request_made is not None:
        job = with_ids([job], request_made, int(request_made.answer))[0]
    # For the answer when it can't be known whether the job was stored.
    g.job_id = job.id
    stored = gopher().store([job], request=request_made)[0]
    g.job_id = stored.job_id
    place = {"Location": f"/api/v1/jobs/{stored.job_id}", **_replayed(stored.replayed)}
    if seconds:
        return _waited_for(job, stored, seconds, place)
    return answer(_accepted(job, stored), 200 if stored.duplicate else 201, place)


@blueprint.post("/batch")
def submit_batch() -> Response:
    asked = query("dry_run")
    entries = parse_batch(body())
    request_made = _idempotency()
    ids = None if request_made is None else ids_for(request_made, len(entries))
    jobs = prepare_batch(entries, context().registry, ids)
    if _is_dry_run(asked):
        return answer({"jobs": [gopher().rehearse(job) for job in jobs]})
    stored = gopher().store(jobs, request=request_made)
    answers = [_accepted(job, each) for job, each in zip(jobs, stored, strict=True)]
    return answer({"jobs": answers}, 201, _replayed(any(each.replayed for each in stored)))


@blueprint.get("")
def page() -> Response:
    asked = query("status", "type", "queue", "limit", "cursor")
    return answer(
        gopher().jobs(
            status=asked.get("status"),
            job_type=asked.get("type"),
            queue=asked.get("queue"),
            limit=whole_number(asked.get("limit", "50"), "limit"),
            cursor=asked.get("cursor"),
        )
    )


@blueprint.get("/types")
def types() -> Response:
    query()
    handlers, settings = list(context().registry), context().settings
    return answer(
        {
            "job_types": {handler.name: handler.description for handler in handlers},
            "types": [_described(handler, settings) for handler in handlers],
        }
    )


@blueprint.get("/<job_id>")
def show(job_id: str) -> Response:
    seconds = _wait_asked(query("wait"))
    return answer(_wait(job_id, seconds) if seconds else gopher().job(job_id))


@blueprint.get("/<job_id>/logs")
def logs(job_id: str) -> Response:
    query()
    return answer({"job_id": job_id, "lines": gopher().logs(job_id)[-_LINES:]})


@blueprint.get("/<job_id>/why")
def why(job_id: str) -> Response:
    query()
    return answer({"job_id": job_id, "reasons": gopher().why(job_id)})


@blueprint.post("/<job_id>/cancel")
@blueprint.delete("/<job_id>")
def cancel(job_id: str) -> Response:
    query()
    status = gopher().cancel(job_id)
    # A running job's child is stopped first: that takes a moment.
    return answer({"job_id": job_id, "status": status}, 202 if status == State.PROCESSING else 200)


def _wait_asked(asked: Mapping[str, str]) -> float:
    """Return how long to wait for the job's end: `?wait=`, else `Prefer: wait=`; at most 25 s."""
    text = asked.get("wait")
    if text is None:
        return _preferred_wait()
    try:
        seconds = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise InvalidJob(f"is {text!r:.60}: {error}", "/wait") from None
    if not 0 <= seconds <= LONGEST_WAIT:
        raise InvalidJob(f"is {text!r:.60}: must be from 0 to {LONGEST_WAIT:g} seconds", "/wait")
    return seconds


def _preferred_wait() -> float:
    # A preference that can't be read is passed over (RFC 7240).
    for preference in ",".join(request.headers.getlist("Prefer")).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait" and value.strip().isascii() and value.strip().isdigit():
            return min(float(value), LONGEST_WAIT)
    return 0.0


def _wait(job_id: str, seconds: float) -> JobView:
    with context().permit_to_wait() as permitted:
        return gopher().wait(job_id, seconds if permitted else 0)


def _waited_for(job: NewJob, stored: Stored, seconds: float, place: Mapping[str, str]) -> Response:
    """Answer with the job once it has ended; whatever happens meanwhile, it is accepted."""
    try:
        view = _wait(stored.job_id, seconds)
    except (JobNotFound, ServerError):
        # It has ended and its record was not to be kept, or the server went away after it took the job.
        return answer(_accepted(job, stored), 202, place)
    return answer(view, 200 if view.status in FINAL_STATES else 202, place)


def _scheduled(submission: Submission, recurring: Recurring, *, dry_run: bool) -> Response:
    """Make the schedule that a recurring submission asks for. The same again changes nothing."""
    name, spec = from_recurring(recurring, submission, context().registry)
    if dry_run:
        return answer(gopher().rehearse(job_now(spec)))
    view, what = gopher().schedules.put(name, spec)
    accepted = {
        "job_id": gopher().schedules.next_job_id(name),
        "status": State.SCHEDULED,
        "created_at": to_rfc3339(time.time() * 1000),
        "type": spec.type,
        "queue": spec.queue,
        "priority": spec.priority,
        "schedule": name,
        "next_run_at": view.next_run_at,
    }
    return answer(accepted, 201 if what == "CREATED" else 200, {"Location": f"/api/v1/schedules/{name}"})


def _is_dry_run(asked: Mapping[str, str]) -> bool:
    text = asked.get("dry_run", "0")
    if text not in ("0", "1", "false", "true"):
        raise InvalidJob(f"is {text!r:.60}: must be 1 or 0", "/dry_run")
    return text in ("1", "true")


def _idempotency() -> Request | None:
    """Return what the Idempotency-Key stands for, None without one. Keys of different callers do not meet."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    made = request_for(key, request.path.encode() + b"\n" + body(), time.time_ns() // 1_000_000)
    caller = g.get("key_name", "")
    return made._replace(key=hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest())


def _replayed(replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if replayed else {}


def _accepted(job: NewJob, stored: Stored) -> dict[str, Any]:
    created = created_ms(stored.job_id)
    # Against the time of the submission, so that a repeat is answered as the first one was.
    waits = bool(job.after) or job.due.startswith("+") or (job.due != "" and int(job.due) > created)
    return {
        "job_id": stored.job_id,
        "status": State.SCHEDULED if waits else State.PENDING,
        "created_at": to_rfc3339(created),
        "type": job.type,
        "queue": job.queue,
        "priority": job.priority,
        **({"duplicate": True} if stored.duplicate else {}),
    }


def _declared_rate(handler: Handler) -> str | None:
    return format_rate(handler.limit.rate) if handler.limit and handler.limit.rate is not None else None


def _described(handler: Handler, settings: Settings) -> dict[str, Any]:
    schema = handler.payload_schema()
    return {
        "name": handler.name,
        "description": handler.description,
        "payload_schema": schema,
        "timeout": settings.worker_job_timeout if handler.timeout is None else handler.timeout,
        "max_retries": settings.worker_max_retries if handler.max_retries is None else handler.max_retries,
        "rate_limit": _declared_rate(handler),
        "concurrency": handler.limit.concurrency if handler.limit else None,
        "example": curl(request.host_url, handler.name, schema),
    }
