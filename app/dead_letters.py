"""/api/v1/dlq: jobs that were given up."""

from typing import Annotated

import msgspec
from flask import Blueprint, Response

from gopher.admin.redrives import MAX_CANARY
from gopher.base.states import State
from gopher.jobs.fields import Checked, JobId, QueueName, RateText, TypeName
from gopher.jobs.models import DeadLetterPage, GroupPage, RetryView
from gopher.reads.groups import MAX_GROUPS

from . import audit
from .answers import Count, answer
from .context import gopher
from .jobs import JobStatus, Limit
from .operations import operation

blueprint = Blueprint("dead_letters", __name__, url_prefix="/api/v1/dlq")

ErrorClass = Annotated[str, msgspec.Meta(description="The class of the error.", examples=["ValueError"])]
GroupId = Annotated[str, msgspec.Meta(description="A group, as /dlq/groups names it.", examples=["1c42e8b666bf"])]
#: Dead letters that one call moves at most, more than any queue holds.
_SOME = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
_CANARY = Annotated[int, msgspec.Meta(ge=1, le=MAX_CANARY)]


class RetryAll(Checked):
    """Which dead letters to retry: those that fit all that is said, the oldest first.

    With a `canary` or a `rate` they are retried by and by: so many first, the rest once those have completed, at `5/s`.
    """

    type: TypeName | None = None
    error: ErrorClass | None = None
    group: GroupId | None = None
    queue: QueueName | None = None
    limit: _SOME | None = None
    canary: _CANARY | None = None
    rate: RateText | None = None


class DiscardAll(Checked):
    """Which dead letters to delete: those that fit all that is said."""

    type: TypeName | None = None
    error: ErrorClass | None = None
    group: GroupId | None = None
    queue: QueueName | None = None


class DeadFilter(Checked):
    """Which dead letters to list, and how many."""

    type: TypeName | None = None
    error: ErrorClass | None = None
    group: GroupId | None = None
    queue: QueueName | None = None
    limit: Limit = 50
    cursor: str | None = None


class GroupFilter(Checked):
    """Which groups to list, and how many."""

    queue: QueueName | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_GROUPS)] = 100


class RetryStarted(msgspec.Struct):
    """A retry that goes on by and by, of so many."""

    count: int
    retry_id: str


class Retries(msgspec.Struct):
    """What is retried by and by, and for a day what was; the latest first."""

    retries: list[RetryView]


class RetryStopped(msgspec.Struct):
    """A retry that goes on no more; `stopped` says whether it was still under way."""

    retry_id: str
    stopped: bool


@blueprint.get("")
@operation("read", {200: DeadLetterPage})
def page(asked: DeadFilter) -> Response:
    """List the dead letters, the newest first."""
    return answer(
        gopher().dead_letters.page(
            job_type=asked.type,
            error=asked.error,
            group=asked.group,
            queue=asked.queue,
            limit=asked.limit,
            cursor=asked.cursor,
        )
    )


@blueprint.get("/groups")
@operation("read", {200: GroupPage})
def groups(asked: GroupFilter) -> Response:
    """Count the dead letters by type, class of error and place."""
    return answer(gopher().dead_letters.groups(asked.queue, asked.limit))


@blueprint.post("/<job_id>/retry")
@operation("admin", {200: JobStatus}, "not_found", "conflict")
def retry(job_id: JobId) -> Response:
    """Let a dead letter start afresh, with the same id and history."""
    gopher().dead_letters.retry(job_id)
    return answer(JobStatus(job_id, State.PENDING))


@blueprint.post("/retry-all")
@operation("admin", {200: Count, 202: RetryStarted})
def retry_all(sent: RetryAll = RetryAll()) -> Response:  # noqa: B008 - never changed
    """Retry the dead letters that fit: at once, or with a canary or a rate by and by (202)."""
    which = (sent.type, sent.error, sent.limit, sent.queue, sent.group)
    if sent.canary is None and sent.rate is None:
        count = gopher().dead_letters.retry_all(*which)
        audit.note(count=count)
        return answer(Count(count))
    started = gopher().dead_letters.retry_gradually(*which, canary=sent.canary or 0, rate=sent.rate)
    audit.note(count=started.total, retry_id=started.retry_id)
    if not started.retry_id:
        return answer(Count(0))
    return answer(RetryStarted(started.total, started.retry_id), 202)


@blueprint.get("/retries")
@operation("read", {200: Retries})
def retries() -> Response:
    """List what is retried by and by."""
    return answer(Retries(gopher().dead_letters.retries()))


@blueprint.post("/retries/<retry_id>/stop")
@operation("admin", {200: RetryStopped}, "not_found")
def stop_retry(retry_id: str) -> Response:
    """Retry no more of those that are retried by and by."""
    stopped = gopher().dead_letters.stop_retry(retry_id)
    return answer(RetryStopped(retry_id, stopped))


@blueprint.delete("/<job_id>")
@operation("admin", {200: Count}, "not_found", "conflict")
def discard(job_id: JobId) -> Response:
    """Delete a dead letter for good."""
    gopher().dead_letters.discard(job_id)
    audit.note(count=1)
    return answer(Count(1))


@blueprint.delete("")
@operation("admin", {200: Count})
def discard_all(asked: DiscardAll) -> Response:
    """Delete the dead letters that fit for good."""
    count = gopher().dead_letters.discard_all(asked.type, asked.error, None, asked.queue, asked.group)
    audit.note(count=count)
    return answer(Count(count))
