"""/api/v1/jobs: submit, show, wait, cancel."""

import hashlib
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
from flask import Blueprint, Response, g, request

from gopher.base.priorities import DEFAULT_PRIORITY
from gopher.base.states import ENDED, RUNNING, State
from gopher.base.times import to_rfc3339
from gopher.client import Stored, accepted
from gopher.config.settings import Settings
from gopher.errors import JobNotFound, ServerError
from gopher.interface import Gopher
from gopher.jobs.answers import BatchAccepted, JobStatus, JobType, JobTypes, Logs, Why
from gopher.jobs.dry_run import DryRun
from gopher.jobs.fields import Checked, JobId, Priority, QueueName, ScheduleName, Status, Time, TypeName
from gopher.jobs.handlers import Handler
from gopher.jobs.job import NewJob
from gopher.jobs.models import Accepted, JobView
from gopher.jobs.owners import Owned
from gopher.jobs.prepare import prepare, prepare_batch
from gopher.jobs.schedule import from_recurring, job_now
from gopher.jobs.submission import Recurring, Submission, parse_batch
from gopher.queue.arguments import Request
from gopher.queue.idempotency import LONGEST_KEY, request_for, with_ids
from gopher.reads.job_types import describe

from . import access, forms, lines, scopes
from .answers import answer
from .base_path import own_url
from .bulk import BulkAccepted, submit_lines
from .capacity import LONGEST_WAIT
from .context import context, current_request, gopher
from .examples import curl
from .files import UploadsOfForm
from .requests import body
from .serving import serve, serves

blueprint = Blueprint("jobs", __name__)

#: Maximum number of log lines in a response: the last ones.
_LINES = 200

Wait = Annotated[
    float,
    msgspec.Meta(ge=0, le=LONGEST_WAIT, description="Seconds to wait for the job to finish.", examples=[20]),
]
_DryRun = Annotated[bool, msgspec.Meta(description="Validate and report what would happen; store nothing.")]
_IDEMPOTENCY = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=LONGEST_KEY,
        description="Requests with the same key and content are stored once within 24 hours.",
        examples=["order-42"],
    ),
]
_PREFER = Annotated[str, msgspec.Meta(description="`wait=20` is the same as `?wait=20`.", examples=["wait=20"])]


class Submitting(Checked):
    """Options of a submission."""

    wait: Wait | None = None
    dry_run: _DryRun = False


class DryRunOrNot(Checked):
    """Options of a batch."""

    dry_run: _DryRun = False


class Waiting(Checked):
    """Options for showing a job."""

    wait: Wait | None = None


class RecurringAccepted(msgspec.Struct):
    """A schedule created by a recurring submission; the job is its next one."""

    job_id: JobId | None
    status: Status
    created_at: Time
    type: TypeName
    queue: QueueName
    priority: Priority
    schedule: ScheduleName
    next_run_at: Time | None


class BatchDryRun(msgspec.Struct):
    """The results of a dry run of a batch, in order."""

    jobs: list[DryRun]


@serves(
    blueprint,
    Gopher.submit,
    query=Submitting,
    answers={
        201: (Accepted, RecurringAccepted),
        200: (Accepted, RecurringAccepted, JobView, DryRun),
        202: (JobView, Accepted),
    },
    headers={"Idempotency-Key": _IDEMPOTENCY, "Prefer": _PREFER},
)
def submit(asked: Submitting, sent: Submission) -> Response:
    """Submit a job, or create a schedule.

    201: created. 200: a job with the same unique key exists, or was replaced; or, with `wait`, the job has finished; or
    it was a dry run. 202: with `wait`, the job has not finished yet. Files may be sent along: a form with the JSON in
    the part `job` and a part for each file. A schedule (`recurring`) requires the role `admin`. A job type
    may require a role, too: see `needs` in the list of types.
    """
    seconds = _preferred_wait() if asked.wait is None else asked.wait
    if sent.recurring is not None:
        access.require("admin", "schedules.put")
        scopes.require_none()
        forms.check_no_files()
        return _scheduled(sent, sent.recurring, dry_run=asked.dry_run)
    here = context()
    job = prepare(sent, access.job_types(), names=False, payload_max=here.settings.payload_max)
    scopes.check_jobs([job])
    request_made = _idempotency()
    forms.check_files(sent.files)
    if asked.dry_run:
        return answer(here.client.dry_run(job, access.submitter()))
    if request_made is not None:
        job = with_ids([job], request_made, int(request_made.answer))[0]
    # For the error response if it is unknown whether the job was stored.
    g.job_id = job.id
    (job,) = access.with_options_of_key([job])
    with UploadsOfForm() as uploads:
        if uploads.ids:
            job = msgspec.structs.replace(job, files=(*job.files, *uploads.ids))
        stored = here.client.store([job], request=request_made, submitter=access.submitter())[0]
        uploads.are_used = not (stored.duplicate or stored.replayed)
    if stored.job_id != job.id:
        g.job_id = stored.job_id
    place = {"Location": own_url(f"/api/v1/jobs/{stored.job_id}"), **_replayed(stored.replayed)}
    if seconds:
        return _waited_for(job, stored, seconds, place)
    return answer(accepted(job, stored), 200 if stored.duplicate or stored.replaced else 201, place)


@serves(
    blueprint,
    Gopher.submit_batch,
    query=DryRunOrNot,
    answers={201: (BatchAccepted, BulkAccepted, lines.TYPES[0]), 200: (BatchDryRun, BulkAccepted, lines.TYPES[0])},
    headers={"Idempotency-Key": _IDEMPOTENCY},
)
def submit_batch(asked: DryRunOrNot) -> Response:
    """Submit up to 10,000 jobs together: all are accepted or none, and each invalid one is reported.

    With `Content-Type: application/x-ndjson`, any number of jobs, one per line. Lines are independent: valid ones are
    accepted, invalid ones are reported. 201: all were accepted. 200: some were rejected.
    """
    if request.mimetype in lines.TYPES:
        return submit_lines(accepted, dry_run=asked.dry_run)
    entries = parse_batch(body())
    request_made = _idempotency()
    jobs = prepare_batch(entries, access.job_types(), payload_max=context().settings.payload_max)
    if request_made is not None:
        jobs = with_ids(jobs, request_made, int(request_made.answer))
    scopes.check_jobs(jobs)
    if asked.dry_run:
        return answer(BatchDryRun(gopher().dry_run_all(jobs, access.submitter())))
    stored = gopher().store(access.with_options_of_key(jobs), request=request_made, submitter=access.submitter())
    answers = [accepted(job, each) for job, each in zip(jobs, stored, strict=True)]
    return answer(BatchAccepted(answers), 201, _replayed(any(each.replayed for each in stored)))


page = serve(blueprint, Gopher.jobs, "page")


@serves(blueprint, Gopher.types)
def types() -> Response:
    handlers, settings = list(context().registry), context().settings
    return answer(
        JobTypes(
            {handler.name: handler.description for handler in handlers},
            [_described(handler, settings) for handler in handlers],
        )
    )


@serves(blueprint, Gopher.job, query=Waiting, headers={"Prefer": _PREFER})
def show(job_id: JobId, asked: Waiting) -> Response:
    """Show a job; with `wait`, once it has finished or the time is over."""
    seconds = _preferred_wait() if asked.wait is None else asked.wait
    return answer(_wait(job_id, seconds) if seconds else gopher().job(job_id))


@serves(blueprint, Gopher.logs)
def logs(job_id: JobId) -> Response:
    return answer(Logs(job_id, gopher().logs(job_id)[-_LINES:]))


@serves(blueprint, Gopher.why)
def why(job_id: JobId) -> Response:
    # Other jobs may be beyond the limits of a key.
    return answer(Why(job_id, gopher().why_for(job_id, sees_all=access.submitter().is_unlimited)))


@serves(blueprint, Gopher.job_input)
def job_input(job_id: JobId) -> Response:
    caller = access.submitter()
    if caller.is_unlimited:
        return answer(gopher().job_input(job_id))
    # As for the job itself: its parents may be of others.
    return answer(gopher().input_for(job_id, lambda at: caller.may_see(at.queue, at.type, Owned(at.owner, at.tenant))))


@serves(blueprint, Gopher.cancel, ("DELETE", "/api/v1/jobs/<job_id>"))
def cancel(job_id: JobId) -> Response:
    """Cancel a job: immediately while it is waiting; 202 if it is running and being stopped."""
    status = gopher().cancel(job_id)
    # The child of a running job has to be stopped first.
    return answer(JobStatus(job_id, status), 202 if status in RUNNING else 200)


def _preferred_wait() -> float:
    preferences = current_request().environ.get("HTTP_PREFER")
    if preferences is None:
        return 0.0
    # Invalid preferences are ignored (RFC 7240).
    for preference in preferences.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait" and value.strip().isascii() and value.strip().isdigit():
            return min(float(value), LONGEST_WAIT)
    return 0.0


def _wait(job_id: str, seconds: float) -> JobView:
    with context().permit_to_wait() as permitted:
        return gopher().wait(job_id, seconds if permitted else 0)


def _waited_for(job: NewJob, stored: Stored, seconds: float, place: Mapping[str, str]) -> Response:
    """Respond with the job once it has finished. Errors while waiting don't change that it is accepted."""
    try:
        view = _wait(stored.job_id, seconds)
    except (JobNotFound, ServerError):
        # It has finished and its record is not kept, or the server became unavailable after storing it.
        return answer(accepted(job, stored), 202, place)
    if not access.submitter().may_see(view.queue, view.type, Owned(view.owner, view.tenant)):
        return answer(accepted(job, stored), 202, place)
    return answer(view, 200 if view.status in ENDED else 202, place)


def _scheduled(submission: Submission, recurring: Recurring, *, dry_run: bool) -> Response:
    """Create the schedule of a recurring submission. Idempotent."""
    name, spec = from_recurring(recurring, submission, access.job_types())
    if dry_run:
        return answer(gopher().dry_run(job_now(spec)))
    view, what = gopher().schedules.put(name, spec)
    made = RecurringAccepted(
        job_id=gopher().schedules.next_job_id(name),
        status=State.SCHEDULED,
        created_at=to_rfc3339(time.time() * 1000),
        type=spec.type,
        queue=spec.in_queue,
        priority=spec.priority or DEFAULT_PRIORITY,
        schedule=name,
        next_run_at=view.next_run_at,
    )
    return answer(made, 201 if what == "CREATED" else 200, {"Location": own_url(f"/api/v1/schedules/{name}")})


def _idempotency() -> Request | None:
    """Return the idempotency record of a request, None without a key. Keys are separate for each caller."""
    asked = current_request()
    key = asked.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    content = asked.path.encode() + b"\n" + body() + forms.digest_of_files()
    made = request_for(key, content, time.time_ns() // 1_000_000)
    caller = g.get("key_name", "")
    return made._replace(key=hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest())


def _replayed(replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if replayed else {}


def _described(handler: Handler, settings: Settings) -> JobType:
    view = describe(handler, settings)
    example = curl(request.root_url, handler.name, view.payload_schema)
    return JobType(**msgspec.structs.asdict(view), example=example)
