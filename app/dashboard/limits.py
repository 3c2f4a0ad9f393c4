"""/dashboard/limits: rate limits, concurrency limits and pauses of job types."""

from flask import Response, request
from gopher.app import flow as api_flow
from gopher.app.context import context, gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.jobs.filters import LimitRequest, Throttled

from .acts import act, filled
from .frame import blueprint, done, filters, page


@blueprint.get("/limits")
def limits() -> Response:
    filters()
    views = gopher().flow.limits()
    return page(
        "limits.html",
        limits=views,
        throttled=[(view, key) for view in views for key in view.throttled],
        paused=gopher().flow.paused_queues(),
        types=[handler.name for handler in context().registry],
    )


@blueprint.post("/limits/set")
def set_limit() -> BaseResponse:
    job_type = _type()
    act(api_flow.set_limit, sent=filled(LimitRequest), job_type=job_type)
    return done(f"Limit of {job_type} updated. It also applies to waiting jobs.")


@blueprint.post("/limits/clear")
def clear_limit() -> BaseResponse:
    job_type = _type()
    act(api_flow.clear_limit, job_type=job_type)
    return done(f"Limit of {job_type} cleared. The limit declared by its handler applies, if any.")


@blueprint.post("/limits/release")
def release() -> BaseResponse:
    job_type, asked = _type(), filled(Throttled)
    act(api_flow.release, job_type=job_type, asked=asked)
    what = f"Type {job_type}"
    if asked.limit_key or asked.tenant:
        what = f"{f'Limit key {asked.limit_key}' if asked.limit_key else f'Tenant {asked.tenant}'} of {job_type}"
    return done(f"{what} is no longer throttled.")


@blueprint.post("/types/pause")
def pause_type() -> BaseResponse:
    job_type = _type()
    act(api_flow.pause_type, job_type=job_type)
    return done(f"Type {job_type} paused. Running jobs finish; no new ones start.")


@blueprint.post("/types/resume")
def resume_type() -> BaseResponse:
    job_type = _type()
    act(api_flow.resume_type, job_type=job_type)
    return done(f"Type {job_type} resumed.")


def _type() -> str:
    return request.form.get("type", "").strip()
