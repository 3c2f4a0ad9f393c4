"""/api/v1/schedules: recurring jobs."""

from flask import Blueprint, Response

from gopher.errors import InvalidJob
from gopher.interface import Gopher, SchedulesInterface
from gopher.jobs.answers import JobMade
from gopher.jobs.fields import ScheduleName
from gopher.jobs.schedule import ScheduleSpec, check_spec

from . import access, versions
from .answers import answer
from .base_path import own_url
from .context import gopher
from .serving import serve, serves

blueprint = Blueprint("schedules", __name__)

page = serve(blueprint, SchedulesInterface.page)
show = serve(blueprint, SchedulesInterface.get, "show")
delete = serve(blueprint, SchedulesInterface.delete)
pause = serve(blueprint, SchedulesInterface.pause)
resume = serve(blueprint, SchedulesInterface.resume)
preview = serve(blueprint, SchedulesInterface.preview)


@serves(blueprint, SchedulesInterface.put)
def put(name: ScheduleName, sent: ScheduleSpec) -> Response:
    """Create or replace a schedule. Idempotent.

    Sending the same definition again changes nothing, whatever the version.
    """
    spec = check_spec(sent, access.job_types())
    if spec.origin != "api":
        raise InvalidJob("is not a known field: remove it", "/origin")
    view, what = gopher().schedules.put(name, spec, versions.expected_version())
    return answer(view, 201 if what == "CREATED" else 200, versions.etag(view.version))


@serves(blueprint, Gopher.run_schedule)
def run(name: ScheduleName) -> Response:
    # A schedule's jobs are checked when it is created, not against the key that runs it.
    job_id = gopher().run_schedule(name)
    return answer(JobMade(job_id, name), 201, {"Location": own_url(f"/api/v1/jobs/{job_id}")})
