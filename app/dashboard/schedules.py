"""/dashboard/schedules: recurring jobs; run, pause, resume or delete a schedule."""

from flask import Response, request
from gopher.app import schedules as api_schedules
from gopher.app.context import gopher
from werkzeug.wrappers import Response as BaseResponse

from gopher.errors import InvalidJob

from .acts import act
from .frame import address, blueprint, done, filters, page

#: Rows per page.
ROWS = 50
#: How many future runs the page of a schedule shows.
_TIMES = 10


@blueprint.get("/schedules")
def schedules() -> Response:
    asked = filters("cursor")
    found = gopher().schedules.page(limit=ROWS, cursor=asked.get("cursor"))
    return page(
        "schedules.html",
        # Only the first page refreshes itself.
        polls="cursor" not in asked,
        schedules=found.schedules,
        following=address(asked, found.next_cursor) if found.next_cursor else None,
        first=address(asked, None) if "cursor" in asked else None,
    )


@blueprint.get("/schedules/<name>")
def schedule(name: str) -> Response:
    filters()
    view = gopher().schedules.get(name)
    try:
        times = gopher().schedules.preview(name, _TIMES)
    except InvalidJob:
        # The schedule is corrupt, which the page shows.
        times = []
    return page("schedule.html", schedule=view, times=times)


@blueprint.post("/schedules/<name>/run")
def run_schedule(name: str) -> BaseResponse:
    act(api_schedules.run, name=name)
    return done(f"Enqueued a job of schedule {name}.")


@blueprint.post("/schedules/<name>/pause")
def pause_schedule(name: str) -> BaseResponse:
    act(api_schedules.pause, name=name, if_version=_shown_version())
    return done(f"Schedule {name} paused.")


@blueprint.post("/schedules/<name>/resume")
def resume_schedule(name: str) -> BaseResponse:
    act(api_schedules.resume, name=name, if_version=_shown_version())
    return done(f"Schedule {name} resumed.")


@blueprint.post("/schedules/<name>/delete")
def delete_schedule(name: str) -> BaseResponse:
    act(api_schedules.delete, name=name, if_version=_shown_version())
    return done(f"Schedule {name} deleted. Jobs that it has already created are not affected.")


def _shown_version() -> str | None:
    """Return the version of the schedule on the page that the form is on: another one is left alone."""
    return request.form.get("version") or None
