"""/api/v1/jobs: submit, look, wait, cancel."""

import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, g, request

from gopher.durations import parse_duration
from gopher.errors import InvalidJob, JobNotFound, ServerError
from gopher.job import FINAL_STATES, NewJob, State, created_ms
from gopher.registry import Handler
from gopher.settings import Settings
from gopher.submission import parse, parse_batch, prepare, prepare_batch
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
    seconds = _wait_asked(query("wait"))
    job = prepare(parse(body()), context().registry)
    # For the answer when it can't be known whether the job was stored.
    g.job_id = job.id
    gopher().store([job])
    place = {"Location": f"/api/v1/jobs/{job.id}"}
    if not seconds:
        return answer(_accepted(job), 201, place)
    return _waited_for(job, seconds, place)


@blueprint.post("/batch")
def submit_batch() -> Response:
    query()
    jobs = prepare_batch(parse_batch(body()), context().registry)
    gopher().store(jobs)
    return answer({"jobs": [_accepted(job) for job in jobs]}, 201)


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


def _waited_for(job: NewJob, seconds: float, place: Mapping[str, str]) -> Response:
    """Answer with the job once it has ended; whatever happens meanwhile, it is accepted."""
    try:
        view = _wait(job.id, seconds)
    except (JobNotFound, ServerError):
        # It has ended and its record was not to be kept, or the server went away after it took the job.
        return answer(_accepted(job), 202, place)
    return answer(view, 200 if view.status in FINAL_STATES else 202, place)


def _accepted(job: NewJob) -> dict[str, Any]:
    waits = job.due.startswith("+") or (job.due != "" and int(job.due) > time.time() * 1000)
    return {
        "job_id": job.id,
        "status": State.SCHEDULED if waits else State.PENDING,
        "created_at": to_rfc3339(created_ms(job.id)),
        "type": job.type,
        "queue": job.queue,
        "priority": job.priority,
    }


def _described(handler: Handler, settings: Settings) -> dict[str, Any]:
    schema = handler.payload_schema()
    return {
        "name": handler.name,
        "description": handler.description,
        "payload_schema": schema,
        "timeout": settings.worker_job_timeout if handler.timeout is None else handler.timeout,
        "max_retries": settings.worker_max_retries if handler.max_retries is None else handler.max_retries,
        "rate_limit": None,
        "example": curl(request.host_url, handler.name, schema),
    }
