"""/dashboard/limits: how fast jobs of a type may start, how many run at once, and which types are paused."""

from collections.abc import Callable
from typing import TypeVar

from flask import Response, request
from gopher.app import flow as api_flow
from gopher.app.context import context, gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.errors import InvalidJob

from .frame import blueprint, done, filters, page

Number = TypeVar("Number", int, float)


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
    api_flow.put_limit(
        job_type,
        api_flow.LimitRequest(
            rate=_text("rate"),
            burst=_number("burst", float, "a number"),
            concurrency=_number("concurrency", int, "a whole number"),
        ),
    )
    return done(f"The limit of {job_type} holds from now on, for waiting jobs too.")


@blueprint.post("/limits/clear")
def clear_limit() -> BaseResponse:
    job_type = _type()
    api_flow.clear_limit(job_type=job_type)
    return done(f"{job_type} is no longer limited, or as its handler declares.")


@blueprint.post("/types/pause")
def pause_type() -> BaseResponse:
    job_type = _type()
    api_flow.pause_type(job_type=job_type)
    return done(f"Jobs of the type {job_type} are paused: what runs goes on, nothing new starts.")


@blueprint.post("/types/resume")
def resume_type() -> BaseResponse:
    job_type = _type()
    api_flow.resume_type(job_type=job_type)
    return done(f"Jobs of the type {job_type} go on.")


def _type() -> str:
    return request.form.get("type", "").strip()


def _text(name: str) -> str | None:
    return request.form.get(name, "").strip() or None


def _number(name: str, kind: Callable[[str], Number], what: str) -> Number | None:
    text = _text(name)
    try:
        return None if text is None else kind(text)
    except ValueError:
        raise InvalidJob(f"is {text!r:.60}: must be {what}", f"/{name}") from None
