"""Idempotent submissions: requests with the same `Idempotency-Key` and body are stored once.

The ids of a request's jobs are derived from its key and the time of the first request. So the server stores only this
time, however large the batch, and a repeat gets the same response.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from gopher.errors import GopherError, InvalidJob
from gopher.jobs.job import NewJob, decode_envelope, job_id_from
from gopher.jobs.submission import MAX_PAYLOAD

from .arguments import Request

#: Maximum number of characters.
LONGEST_KEY = 255


class IdempotencyMismatch(GopherError):
    """Raised when an idempotency key is reused for a different request."""

    code = "idempotency_mismatch"

    def __init__(self, details: str = "this Idempotency-Key was used for a different request: use a new one") -> None:
        super().__init__(details)


def request_for(key: str, body: bytes, now: int) -> Request:
    """Return the record of a request: digests, and its time (Unix ms). Raises InvalidJob."""
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidJob(f"must have 1 to {LONGEST_KEY} characters", "Idempotency-Key")
    return Request(_digest(key.encode()), _digest(body), str(now))


def with_ids(jobs: Sequence[NewJob], request: Request, made: int) -> list[NewJob]:
    """Return the jobs of a request with the ids derived from the time of the first request, `made` (ms).

    Jobs that wait for others of the request refer to these ids.
    """
    # Large payloads are stored before the server decides: another request with the same key, in the same millisecond,
    # must not write to the same place.
    seed = f"{request.key} {request.digest}" if any(map(has_large_payload, jobs)) else request.key
    # Those of fewer jobs of the same request are the same as with all of them.
    seeds = [job.seed or f"{seed} {index}" for index, job in enumerate(jobs)]
    ids = {job.id: job.id if job.named else job_id_from(made, each) for job, each in zip(jobs, seeds, strict=True)}
    return [
        msgspec.structs.replace(
            job,
            id=ids[job.id],
            seed=each,
            after=tuple(ids.get(parent, parent) for parent in job.after),
            remote_parents=tuple((ids.get(parent, parent), queue) for parent, queue in job.remote_parents),
        )
        for job, each in zip(jobs, seeds, strict=True)
    ]


def has_large_payload(job: NewJob) -> bool:
    """Return whether the payload is too large for the job's record. The release before accepts none of these."""
    return len(job.envelope) > MAX_PAYLOAD and len(bytes(decode_envelope(job.envelope).payload)) > MAX_PAYLOAD


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
