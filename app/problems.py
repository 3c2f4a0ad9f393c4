"""The shape of an error, and every code that there is: for the answers themselves and for the document."""

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gopher.jobs.fields import JobId


class Failure(NamedTuple):
    """A status with its code and sentence."""

    status: int
    code: str
    error: str


class EntryProblem(msgspec.Struct, kw_only=True):
    """What is wrong with one job of a batch: that at an `index` from 0, or on a `line` from 1."""

    index: int | UnsetType = UNSET
    line: int | UnsetType = UNSET
    field: str | None
    code: str
    details: str


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong. `code` is stable, `field` a JSON pointer such as /payload/width."""

    error: Annotated[str, Meta(description="A short sentence.")]
    code: str
    details: Annotated[str, Meta(description="What exactly, where, and what to do about it.")]
    field: str | UnsetType = UNSET
    #: Of a batch: one for each bad entry.
    errors: list[EntryProblem] | UnsetType = UNSET
    #: Of a body of lines: how many were worked through, and what became of them.
    lines: int | UnsetType = UNSET
    accepted: int | UnsetType = UNSET
    duplicates: int | UnsetType = UNSET
    rejected: int | UnsetType = UNSET
    request_id: Annotated[str, Meta(description="The log has more under it.")]
    #: With outcome_unknown: the job that may have been stored.
    job_id: JobId | UnsetType = UNSET


def _table(*failures: Failure) -> dict[str, Failure]:
    return {failure.code: failure for failure in failures}


FAILURES = _table(
    Failure(400, "bad_request", "The request can't be read."),
    Failure(400, "invalid_json", "What was sent is not valid JSON."),
    Failure(400, "invalid_job", "The request breaks a rule."),
    Failure(400, "unknown_type", "There is no such job type."),
    Failure(400, "too_many_queues", "There are too many queues."),
    Failure(401, "unauthorized", "This needs an API key."),
    Failure(403, "forbidden", "This is not allowed."),
    Failure(404, "not_found", "There is nothing at this address."),
    Failure(405, "method_not_allowed", "This address does not know that method."),
    Failure(409, "conflict", "The job's state does not allow this."),
    Failure(413, "payload_too_large", "The request is too large."),
    Failure(415, "unsupported_media_type", "The API takes JSON."),
    Failure(422, "idempotency_mismatch", "This Idempotency-Key stands for another request."),
    Failure(429, "rate_limited", "This client sends too much."),
    Failure(500, "internal", "Something went wrong on our side."),
    Failure(503, "queue_unavailable", "The queue can't be reached. Nothing was stored."),
    Failure(503, "queue_full", "The queue is full. Nothing was stored."),
    Failure(503, "storage_full", "The queue can't write to its disk. Nothing was stored."),
    Failure(503, "busy", "The queue is busy. Nothing was stored."),
    Failure(503, "outcome_unknown", "It is not known whether this was done."),
)
#: By status, the failure of an answer that says no more than its status: the first one in the table.
BY_STATUS = {failure.status: failure for failure in reversed(FAILURES.values()) if failure.status < 500}


def example(failure: Failure) -> dict[str, Any]:
    """Return a body of this failure, for the document."""
    return {
        "error": failure.error,
        "code": failure.code,
        "details": "what exactly, and what to do about it",
        "request_id": "85963895d95c4350bb10a8906b7bed80",
    }
