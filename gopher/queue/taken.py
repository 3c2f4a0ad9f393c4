"""Submissions that reject an unfinished job with their unique key (`unique_mode`: reject)."""

from collections.abc import Mapping, Sequence

import msgspec

from gopher.base.unique_modes import REJECT, SKIP
from gopher.errors import DuplicateJob
from gopher.jobs.job import NewJob
from gopher.jobs.submission import InvalidBatch

from .enqueued import Enqueued


def taken_by(reply: Enqueued, places: Sequence[int]) -> dict[int, str]:
    """Return the unfinished jobs that jobs reject: their ids, by the index of the job that rejects."""
    if reply.kind != "REJECTED":
        return {}
    return {place: answer.split(" ")[0] for place, answer in zip(places, reply.answers, strict=True) if answer != "NEW"}


def duplicate_job(job: NewJob, holder: str) -> DuplicateJob:
    """Return the error for a job that rejects another one."""
    return DuplicateJob(
        f"is {job.unique_key!r}, which the unfinished job {holder} has: submit it when that one has ended, or with "
        "another unique_mode",
        job_id=holder,
    )


def rejected(jobs: Sequence[NewJob], taken: Mapping[int, str]) -> DuplicateJob | InvalidBatch:
    """Return the error for jobs of which some, by index, reject others: nothing is stored."""
    errors = [(index, duplicate_job(jobs[index], holder)) for index, holder in sorted(taken.items())]
    return errors[0][1] if len(jobs) == 1 else BatchTaken(errors)


def each_by_itself(jobs: Sequence[NewJob]) -> list[NewJob]:
    """Return jobs of which one that rejects another does not keep the others from being stored."""
    return [msgspec.structs.replace(job, unique_mode=SKIP) if job.unique_mode == REJECT else job for job in jobs]


class BatchTaken(InvalidBatch):
    """Raised for a batch with jobs that reject others."""

    code = DuplicateJob.code
    is_permanent = False
