"""The results of submissions."""

import time
from typing import TYPE_CHECKING, NamedTuple

from gopher.base.states import State
from gopher.base.times import to_rfc3339
from gopher.jobs.job import NewJob, created_ms, has_time
from gopher.queue.bounds import bound_in
from gopher.queue.chosen_ids import TAKEN

if TYPE_CHECKING:
    from gopher.jobs.models import Accepted

#: The answers of a batch that does not take a job.
NOT_IN_BATCH = ("MISSING", "SEALED")


class Stored(NamedTuple):
    """The result of a submission: the job's id, whether it is an earlier job with the same unique key, whether the
    whole request was a repeat; status and priority of an earlier job; and whether the payload of that one was replaced,
    or the submission rejected because of it."""

    job_id: str
    duplicate: bool = False
    replayed: bool = False
    status: str = ""
    priority: str = ""
    replaced: bool = False
    rejected: bool = False

    @property
    def is_new(self) -> bool:
        """Whether a job has been stored, and not an earlier one found."""
        return not (self.duplicate or self.replaced or self.rejected or self.replayed or self.refused)

    @property
    def refused(self) -> str:
        """Why the job is not stored: the bound on waiting jobs that it is beyond (`queue` or `owner`), `job_id` if its
        chosen id is that of another job, or `batch` if its batch does not take it; "" if it is stored."""
        if self.status in NOT_IN_BATCH:
            return "batch"
        return "job_id" if self.status == TAKEN else bound_in(self.status)


def accepted(job: NewJob, stored: Stored) -> "Accepted":
    """Return the result of a submission. An earlier job with the same unique key has the same type and queue."""
    # `Client.submit` needs it, `enqueue` does not.
    from gopher.jobs.models import Accepted

    created = created_ms(stored.job_id) if has_time(stored.job_id) else round(time.time() * 1000)
    # Relative to the time of the submission, so that a repeat gets the same result.
    waits = bool(job.after) or job.due.startswith("+") or (job.due != "" and int(job.due) > created)
    return Accepted(
        job_id=stored.job_id,
        status=stored.status or (State.SCHEDULED if waits else State.PENDING),
        created_at=to_rfc3339(created),
        type=job.type,
        queue=job.queue,
        priority=stored.priority or job.priority,
        duplicate=stored.duplicate,
        replaced=stored.replaced,
    )


def taken(job: NewJob) -> Stored:
    """Return the result of a job that is not stored, since the id that it has chosen is that of another job."""
    return Stored(job.id, status=TAKEN)


def not_in_batch(job: NewJob, answer: str) -> Stored:
    """Return the result of a job that is not stored, since its batch does not take it."""
    return Stored(job.id, status=answer)


def stored_as(job: NewJob, answer: str) -> Stored:
    """Return the result of a job by the answer of the script that stores jobs."""
    if answer in ("NEW", "DUPLICATE"):
        return Stored(job.id, duplicate=bool(job.named) and answer == "DUPLICATE")
    if answer == TAKEN:
        return taken(job)
    if bound_in(answer):
        return Stored(job.id, status=answer)
    job_id, status, priority, *what = answer.split(" ")
    return Stored(
        job_id,
        duplicate=not what,
        status=status,
        priority=priority,
        replaced=what == ["replaced"],
        rejected=what == ["rejected"],
    )
