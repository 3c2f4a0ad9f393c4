"""Buttons of jobs that wait: run now, move, copy; and cancellations of all jobs that match a filter."""

import msgspec
from flask import redirect, request, url_for
from gopher.app import waiting as api_waiting
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.jobs.acting import CancelFilter, CancellationView, Copy, Move

from .acts import act, filled
from .formats import counted
from .frame import blueprint, done

#: Cancellations that are over are shown so long as they are among the last few.
_SHOWN = 5


@blueprint.post("/jobs/<job_id>/run")
def run_now(job_id: str) -> BaseResponse:
    act(api_waiting.run, job_id=job_id)
    return done("The job is the next to start.")


@blueprint.post("/jobs/<job_id>/move")
def move(job_id: str) -> BaseResponse:
    moved = act(api_waiting.move, job_id=job_id, sent=filled(Move))
    return done(f"Job moved to queue {moved['queue']}, priority {moved['priority']}.")


@blueprint.post("/jobs/<job_id>/copy")
def copy(job_id: str) -> BaseResponse:
    text = request.form.get("payload", "").strip()
    sent = Copy(payload=msgspec.Raw(text.encode())) if text else Copy()
    made = act(api_waiting.copy, job_id=job_id, sent=sent)["job_id"]
    answer = done("This is the copy.")
    answer.location = redirect(url_for("dashboard.job", job_id=made)).location
    return answer


@blueprint.post("/cancellations/start")
def cancel_matching() -> BaseResponse:
    started = act(api_waiting.cancel_matching, sent=filled(CancelFilter))
    return done(f"Started to cancel the jobs that match; {counted(started['to_look_at'], 'job')} to look at.")


@blueprint.post("/cancellations/<cancellation_id>/stop")
def stop_cancellation(cancellation_id: str) -> BaseResponse:
    act(api_waiting.stop_cancellation, cancellation_id=cancellation_id)
    return done("Cancellation stopped.")


def latest() -> list[CancellationView]:
    """Return the latest cancellations."""
    return gopher().waiting.cancellations()[:_SHOWN]
