"""Idempotent submissions: requests with the same `Idempotency-Key` and body are stored once.

The ids of a request's jobs are derived from its key and the time of the first request. So the server stores only this
time, however large the batch, and a repeat gets the same response.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from gopher.errors import GopherError, InvalidJob
from gopher.jobs.job import NewJob, job_id_from

from .moves import Request

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


def ids_for(request: Request, count: int) -> list[str]:
    """Return the ids of the jobs of a first request."""
    return [job_id_from(int(request.answer), f"{request.key} {index}") for index in range(count)]


def with_ids(jobs: Sequence[NewJob], request: Request, made: int) -> list[NewJob]:
    """Return the jobs of a request with the ids derived from the time of the first request, `made` (ms).

    Jobs that wait for others of the request refer to these ids.
    """
    ids = {job.id: job_id_from(made, f"{request.key} {index}") for index, job in enumerate(jobs)}
    return [
        msgspec.structs.replace(job, id=ids[job.id], after=tuple(ids.get(parent, parent) for parent in job.after))
        for job in jobs
    ]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
