"""/api/v1/schedules: recurring jobs."""

from flask import Blueprint, Response

from gopher.errors import InvalidJob
from gopher.logs import get_logger
from gopher.schedule import parse_spec

from .answers import answer
from .context import context, gopher
from .requests import body, query, whole_number

blueprint = Blueprint("schedules", __name__, url_prefix="/api/v1/schedules")
_log = get_logger("api")


@blueprint.get("")
def page() -> Response:
    query()
    return answer({"schedules": gopher().schedules.all()})


@blueprint.put("/<name>")
def put(name: str) -> Response:
    query()
    spec = parse_spec(body(), context().registry)
    if spec.origin != "api":
        raise InvalidJob("is not a known field: leave it out", "/origin")
    view, what = gopher().schedules.put(name, spec)
    _log.warning("schedule put", schedule=name, what=what)
    return answer(view, 201 if what == "CREATED" else 200)


@blueprint.get("/<name>")
def show(name: str) -> Response:
    query()
    return answer(gopher().schedules.get(name))


@blueprint.delete("/<name>")
def delete(name: str) -> Response:
    query()
    gopher().schedules.delete(name)
    _log.warning("schedule deleted", schedule=name)
    return answer({"name": name, "deleted": True})


@blueprint.post("/<name>/pause")
def pause(name: str) -> Response:
    query()
    _log.warning("schedule paused", schedule=name)
    return answer(gopher().schedules.pause(name))


@blueprint.post("/<name>/resume")
def resume(name: str) -> Response:
    query()
    _log.warning("schedule resumed", schedule=name)
    return answer(gopher().schedules.resume(name))


@blueprint.post("/<name>/run")
def run(name: str) -> Response:
    query()
    job = gopher().schedules.job_now(name)
    stored = gopher().store([job])[0]
    _log.warning("schedule run", schedule=name, job_id=stored.job_id)
    return answer({"job_id": stored.job_id, "schedule": name}, 201, {"Location": f"/api/v1/jobs/{stored.job_id}"})


@blueprint.get("/<name>/preview")
def preview(name: str) -> Response:
    count = whole_number(query("n").get("n", "10"), "n")
    return answer({"name": name, "times": gopher().schedules.preview(name, count)})
