"""/dashboard/jobs: find a job, see its details, cancel or retry it."""

import msgspec
from flask import Response, redirect, url_for
from gopher.app import dead_letters as api_dead_letters
from gopher.app import jobs as api_jobs
from gopher.app.context import context, gopher
from gopher.app.operations import read_texts
from werkzeug.wrappers import Response as BaseResponse

from gopher.base.names import JOB_ID
from gopher.base.states import CANCELLABLE, ENDED, RUNNING, WAITING, State
from gopher.errors import InvalidJob
from gopher.jobs.lists import SORTS, JobFilter
from gopher.reads.family import family

from .acts import act
from .files import files_of, pictures_in
from .frame import address, blueprint, done, filters, page, stats
from .waiting import latest

#: Rows per page.
ROWS = 50
_LINES = 200
#: What lists are filtered by, and cancellations of all jobs that match are not.
_ONLY_IN_LISTS = {"tag", "error", "created_after"}


@blueprint.get("/jobs")
def jobs() -> BaseResponse:
    asked = dict(filters("id", *(name for name in JobFilter.__struct_encode_fields__ if name != "limit")))
    wanted = asked.pop("id", "").lower()
    if JOB_ID.fullmatch(wanted):
        return redirect(url_for("dashboard.job", job_id=wanted), 303)
    try:
        which = read_texts(JobFilter, {**asked, "limit": str(ROWS)})
        found = gopher().jobs(**msgspec.structs.asdict(which))
        problem = f"{wanted!r} is not a job id. Enter the complete id." if wanted else ""
    except InvalidJob as error:
        # The form shows what is wrong with its fields.
        found, problem = None, str(error)
    return page(
        "jobs.html",
        # Only the first page refreshes itself.
        polls="cursor" not in asked,
        jobs=found.jobs if found else [],
        problem=problem,
        asked=asked,
        wanted=wanted,
        older=address(asked, found.next_cursor) if found and found.next_cursor else None,
        newest=address(asked, None) if "cursor" in asked else None,
        types=[handler.name for handler in context().registry],
        queues=sorted(stats().queues),
        cancellations=latest(),
        # Others that the list does not show would be cancelled, too.
        may_cancel_all=_ONLY_IN_LISTS.isdisjoint(asked) and asked.get("status", State.PENDING) in CANCELLABLE,
        sorts=SORTS,
    )


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> Response:
    filters()
    view = gopher().job(job_id)
    lines = gopher().logs(job_id)
    files, problem = files_of(view)
    return page(
        "job.html",
        job=view,
        why=gopher().why(job_id) if view.status in WAITING else [],
        lines=lines[-_LINES:],
        left_out=max(len(lines) - _LINES, 0),
        files=files,
        pictures=pictures_in(files),
        family=family(context().client.server, context().client.inspector, view.queue, view.job_id),
        files_problem=problem,
        polls=view.status not in ENDED,
        may_cancel=view.status in CANCELLABLE,
        queues=sorted(stats().queues),
    )


@blueprint.post("/jobs/<job_id>/cancel")
def cancel(job_id: str) -> BaseResponse:
    status = act(api_jobs.cancel, job_id=job_id)["status"]
    return done("Stopping the job." if status in RUNNING else "Job cancelled.")


@blueprint.post("/jobs/<job_id>/retry")
def retry(job_id: str) -> BaseResponse:
    act(api_dead_letters.retry, job_id=job_id)
    return done("Job enqueued again.")


@blueprint.post("/jobs/<job_id>/discard")
def discard(job_id: str) -> BaseResponse:
    act(api_dead_letters.discard, job_id=job_id)
    return done("Dead letter deleted.")
