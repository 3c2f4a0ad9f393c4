"""The format of errors, and all error codes, for responses and the OpenAPI document."""

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gopher.jobs.fields import JobId


class Failure(NamedTuple):
    """A status with its code and summary."""

    status: int
    code: str
    error: str


class EntryProblem(msgspec.Struct, kw_only=True):
    """An invalid job of a batch: the one at `index`, from 0, or on `line`, from 1."""

    index: int | UnsetType = UNSET
    line: int | UnsetType = UNSET
    field: str | None
    code: str
    details: str


class Problem(msgspec.Struct, kw_only=True):
    """An error. `code` is stable, `field` is a JSON pointer such as /payload/width."""

    error: Annotated[str, Meta(description="Summary.")]
    code: str
    details: Annotated[str, Meta(description="What is wrong, where, and how to fix it.")]
    field: str | UnsetType = UNSET
    #: Of a batch: one for each invalid entry.
    errors: list[EntryProblem] | UnsetType = UNSET
    #: Of an NDJSON body: how many lines were processed, and their results.
    lines: int | UnsetType = UNSET
    accepted: int | UnsetType = UNSET
    duplicates: int | UnsetType = UNSET
    rejected: int | UnsetType = UNSET
    request_id: Annotated[str, Meta(description="Find the request in the API's log by this id.")]
    #: The id of a job that is stored (not_replicated), or may be (outcome_unknown), of the one with the unique key
    #: (duplicate); of a batch, all ids.
    job_id: JobId | UnsetType = UNSET
    job_ids: list[JobId] | UnsetType = UNSET


def _table(*failures: Failure) -> dict[str, Failure]:
    return {failure.code: failure for failure in failures}


FAILURES = _table(
    Failure(400, "bad_request", "The request is malformed."),
    Failure(400, "invalid_json", "The body is not valid JSON."),
    Failure(400, "invalid_job", "The request is invalid."),
    Failure(400, "unknown_type", "Unknown job type."),
    Failure(400, "too_many_queues", "Too many queues."),
    Failure(400, "unknown_queue", "The queue is not among the allowed ones."),
    Failure(401, "unauthorized", "An API key is required."),
    Failure(403, "forbidden", "Not allowed."),
    Failure(404, "not_found", "Not found."),
    Failure(405, "method_not_allowed", "Method not allowed for this URL."),
    Failure(409, "conflict", "The job's state does not allow this."),
    Failure(409, "job_id_taken", "The chosen id is that of another job. Nothing was stored."),
    Failure(409, "duplicate", "An unfinished job has the unique key. Nothing was stored."),
    Failure(409, "no_worker", "No live worker serves the job. Nothing was stored."),
    Failure(412, "precondition_failed", "It was changed in the meantime. Nothing was changed."),
    Failure(413, "payload_too_large", "The request is too large."),
    Failure(415, "unsupported_media_type", "Unsupported media type."),
    Failure(416, "range_not_satisfiable", "The file has no such range."),
    Failure(422, "idempotency_mismatch", "This Idempotency-Key was used for a different request."),
    Failure(429, "rate_limited", "Rate limit exceeded."),
    Failure(429, "queue_limit", "Too many jobs are waiting. Nothing was stored."),
    Failure(429, "upload_limit", "Too many uploads wait for a job. Nothing was stored."),
    Failure(500, "internal", "Internal error."),
    Failure(503, "queue_unavailable", "The queue is unreachable. Nothing was stored."),
    Failure(503, "queue_full", "The queue is full. Nothing was stored."),
    Failure(503, "storage_full", "The queue can't write to its disk. Nothing was stored."),
    Failure(503, "busy", "The queue is busy. Nothing was stored."),
    Failure(503, "not_replicated", "The job is stored, but replicas have not confirmed it."),
    Failure(503, "store_full", "The store for files is full. Nothing was stored."),
    Failure(503, "store_unavailable", "The store for files is unavailable."),
    Failure(503, "outcome_unknown", "The outcome is unknown: the request may or may not have taken effect."),
)
#: The default failure for each status: the first one in the table.
BY_STATUS = {failure.status: failure for failure in reversed(FAILURES.values()) if failure.status < 500}


def example(failure: Failure) -> dict[str, Any]:
    """Return an example body of a failure, for the OpenAPI document."""
    return {
        "error": failure.error,
        "code": failure.code,
        "details": "what is wrong and how to fix it",
        "request_id": "85963895d95c4350bb10a8906b7bed80",
    }
