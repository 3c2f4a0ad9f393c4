"""/api/v1/schedules: recurring jobs."""

from typing import Annotated

import msgspec
from flask import Blueprint, Response

from gopher.admin.schedules import MAX_PREVIEW
from gopher.errors import InvalidJob
from gopher.jobs.fields import Checked, JobId, ScheduleName
from gopher.jobs.models import PreviewRow, ScheduleView
from gopher.jobs.owners import TRUSTED
from gopher.jobs.schedule import ScheduleSpec, check_spec

from . import access, audit
from .answers import answer
from .context import gopher
from .operations import operation

blueprint = Blueprint("schedules", __name__, url_prefix="/api/v1/schedules")


class SchedulesView(msgspec.Struct):
    """All schedules."""

    schedules: list[ScheduleView]


class Deleted(msgspec.Struct):
    """A schedule that is gone."""

    name: ScheduleName
    deleted: bool


class JobMade(msgspec.Struct):
    """A job that a schedule made out of turn."""

    job_id: JobId
    schedule: ScheduleName


class HowMany(Checked):
    """How many times to show."""

    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_PREVIEW)] = 10


class Preview(msgspec.Struct):
    """When a schedule fires next."""

    name: ScheduleName
    times: list[PreviewRow]


@blueprint.get("")
@operation("read", {200: SchedulesView})
def page() -> Response:
    """List the schedules."""
    return answer(SchedulesView(gopher().schedules.all()))


@blueprint.put("/<name>")
@operation("admin", {200: ScheduleView, 201: ScheduleView}, "unknown_type", "too_many_queues")
def put(name: ScheduleName, sent: ScheduleSpec) -> Response:
    """Make a schedule, or replace it. The same again changes nothing."""
    spec = check_spec(sent, access.job_types())
    if spec.origin != "api":
        raise InvalidJob("is not a known field: leave it out", "/origin")
    view, what = gopher().schedules.put(name, spec)
    audit.note(what=what)
    return answer(view, 201 if what == "CREATED" else 200)


@blueprint.get("/<name>")
@operation("read", {200: ScheduleView}, "not_found")
def show(name: ScheduleName) -> Response:
    """Show a schedule."""
    return answer(gopher().schedules.get(name))


@blueprint.delete("/<name>")
@operation("admin", {200: Deleted}, "not_found")
def delete(name: ScheduleName) -> Response:
    """Delete a schedule. Jobs that it made stay."""
    gopher().schedules.delete(name)
    return answer(Deleted(name, True))


@blueprint.post("/<name>/pause")
@operation("admin", {200: ScheduleView}, "not_found")
def pause(name: ScheduleName) -> Response:
    """Let a schedule make no jobs."""
    return answer(gopher().schedules.pause(name))


@blueprint.post("/<name>/resume")
@operation("admin", {200: ScheduleView}, "not_found")
def resume(name: ScheduleName) -> Response:
    """Let a schedule make jobs again."""
    return answer(gopher().schedules.resume(name))


@blueprint.post("/<name>/run")
@operation("admin", {201: JobMade}, "not_found")
def run(name: ScheduleName) -> Response:
    """Make a job of a schedule now, out of turn."""
    job = gopher().schedules.job_now(name)
    # Jobs of a schedule are trusted, whichever key runs it.
    stored = gopher().store([job], submitter=TRUSTED)[0]
    audit.note(job_id=stored.job_id)
    return answer(JobMade(stored.job_id, name), 201, {"Location": f"/api/v1/jobs/{stored.job_id}"})


@blueprint.get("/<name>/preview")
@operation("read", {200: Preview}, "not_found")
def preview(name: ScheduleName, asked: HowMany) -> Response:
    """Show when a schedule fires next, and where daylight saving plays a part."""
    return answer(Preview(name, gopher().schedules.preview(name, asked.n)))
