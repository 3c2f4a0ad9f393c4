"""/dashboard/limits: how fast jobs of a type may start, how many run at once, and which types are paused."""

from flask import Response, request
from gopher.app import flow as api_flow
from gopher.app.context import context, gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.jobs.filters import LimitRequest

from .acts import act, filled
from .frame import blueprint, done, filters, page


@blueprint.get("/limits")
def limits() -> Response:
    filters()
    return page(
        "limits.html",
        limits=gopher().flow.limits(),
        paused=gopher().flow.paused_queues(),
        types=[handler.name for handler in context().registry],
    )


@blueprint.post("/limits/set")
def set_limit() -> BaseResponse:
    job_type = _type()
    act(api_flow.set_limit, sent=filled(LimitRequest), job_type=job_type)
    return done(f"The limit of {job_type} holds from now on, for waiting jobs too.")


@blueprint.post("/limits/clear")
def clear_limit() -> BaseResponse:
    job_type = _type()
    act(api_flow.clear_limit, job_type=job_type)
    return done(f"{job_type} is no longer limited, or as its handler declares.")


@blueprint.post("/types/pause")
def pause_type() -> BaseResponse:
    job_type = _type()
    act(api_flow.pause_type, job_type=job_type)
    return done(f"Jobs of the type {job_type} are paused: what runs goes on, nothing new starts.")


@blueprint.post("/types/resume")
def resume_type() -> BaseResponse:
    job_type = _type()
    act(api_flow.resume_type, job_type=job_type)
    return done(f"Jobs of the type {job_type} go on.")


def _type() -> str:
    return request.form.get("type", "").strip()
