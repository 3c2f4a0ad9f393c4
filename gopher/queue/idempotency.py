"""Submissions that may be repeated: the same `Idempotency-Key` with the same body is stored once.

The ids of a request's jobs follow from its key and from when it was first made. So the server keeps
only that time, however large the batch, and a repeat can be answered as the first one was.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from gopher.errors import GopherError, InvalidJob
from gopher.jobs.job import NewJob, job_id_from

from .moves import Request

#: Characters.
LONGEST_KEY = 255


class IdempotencyMismatch(GopherError):
    """Raised when an idempotency key comes with another request than the first time."""

    code = "idempotency_mismatch"

    def __init__(self, details: str = "this Idempotency-Key came with another request before: use a new one") -> None:
        super().__init__(details)


def request_for(key: str, body: bytes, now: int) -> Request:
    """Return what is stored of a request: digests, and when it was first made (Unix ms). Raises InvalidJob."""
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidJob(f"must have 1 to {LONGEST_KEY} characters", "Idempotency-Key")
    return Request(_digest(key.encode()), _digest(body), str(now))


def ids_for(request: Request, count: int) -> list[str]:
    """Return the ids of a request's jobs, if this is the first time that it is made."""
    return [job_id_from(int(request.answer), f"{request.key} {index}") for index in range(count)]


def with_ids(jobs: Sequence[NewJob], request: Request, made: int) -> list[NewJob]:
    """Return the jobs of a request with the ids that they have if it was first made at `made` (ms).

    Those that wait for others of the request wait for them by these ids.
    """
    ids = {job.id: job_id_from(made, f"{request.key} {index}") for index, job in enumerate(jobs)}
    return [
        msgspec.structs.replace(job, id=ids[job.id], after=tuple(ids.get(parent, parent) for parent in job.after))
        for job in jobs
    ]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
