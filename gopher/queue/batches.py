"""Batches across several queues, each of which stores its jobs in one call, all or none."""

from collections.abc import Mapping, Sequence

from gopher.errors import InvalidJob, TooManyQueues
from gopher.jobs.job import NewJob
from gopher.jobs.owners import Submitter, owner_in
from gopher.jobs.submission import InvalidBatch
from gopher.server.errors import explained

from .idempotency import IdempotencyMismatch
from .missing import Losses
from .moves import Request
from .store import Server

#: Parents that are read per call: an envelope may have a quarter of a megabyte.
_LOOKED_UP = 50


def check_parents(
    server: Server, jobs: Sequence[NewJob], by_queue: Mapping[str, Sequence[int]], submitter: Submitter
) -> None:
    """Raise InvalidBatch, listing each job that would wait for a nonexistent one, before any is stored.

    For a single job its error is raised. Jobs that the submitter may not see count as nonexistent. `by_queue` has the
    indexes of each queue's jobs. The script also checks the parents of its own queue, but jobs of other queues may be
    stored by then, and it does not know owners.
    """
    missing = [
        (index, queue, parent)
        for queue, places in by_queue.items()
        for index, parent in _missing(server, queue, jobs, places, submitter)
    ]
    if not missing:
        return
    losses = Losses(server)
    errors = [(index, no_parent(parent, queue, losses)) for index, queue, parent in sorted(missing)]
    if len(jobs) == 1:
        raise errors[0][1]
    raise InvalidBatch(errors)


def no_parent(parent: str, queue: str, losses: Losses) -> InvalidJob:
    """Return the error for a job that would wait for a nonexistent one."""
    return InvalidJob(f"there is no job {parent} in queue {queue!r} to wait for{losses.why(parent)}", "/after")


def check_queues(server: Server, jobs: Sequence[NewJob]) -> None:
    """Raise the errors of jobs whose new queues would exceed the maximum number."""
    with explained():
        refused = server.names.refused(job.queue for job in jobs)
    if refused:
        raise refusal(server, jobs, server.names.too_many(refused))


def refusal(server: Server, jobs: Sequence[NewJob], error: TooManyQueues) -> InvalidJob:
    """Return the error for a job whose queue is rejected, or for those of a batch."""
    if len(jobs) == 1:
        return error
    return TooManyQueuesInBatch(
        [(index, server.names.too_many([job.queue])) for index, job in enumerate(jobs) if job.queue in error.queues]
    )


class TooManyQueuesInBatch(InvalidBatch):
    """Raised when new queues of a batch would exceed the maximum number."""

    code = TooManyQueues.code


def is_known(server: Server, request: Request, queues: Sequence[str]) -> bool:
    """Return whether part of a request has been stored, which means that the whole request was validated.

    Raises IdempotencyMismatch if another request used its key: other queues, which don't know the key, would store it.
    """
    with explained():
        found = [server.client.get(server.keys.for_queue(queue).idempotency(request.key)) for queue in queues]
    digests = {value.split(b" ")[0].decode() for value in found if value is not None}
    if digests - {request.digest}:
        raise IdempotencyMismatch
    return bool(digests)


def _missing(
    server: Server, queue: str, jobs: Sequence[NewJob], places: Sequence[int], submitter: Submitter
) -> list[tuple[int, str]]:
    """Return the index of each job with a parent that is neither stored nor an earlier job of the batch."""
    earlier: set[str] = set()
    outside: list[tuple[int, str]] = []
    for index in places:
        outside += [(index, parent) for parent in jobs[index].after if parent not in earlier]
        earlier.add(jobs[index].id)
    ids = list(dict.fromkeys(parent for _, parent in outside))
    seen = _seen(server, queue, ids, submitter)
    return [(index, parent) for index, parent in outside if parent not in seen]


def _seen(server: Server, queue: str, ids: Sequence[str], submitter: Submitter) -> set[str]:
    """Return which of these jobs exist and are visible to the submitter."""
    # An envelope contains the whole payload, so it is read only if the owner matters.
    field = "state" if submitter.sees_all else "envelope"
    seen: set[str] = set()
    for at in range(0, len(ids), _LOOKED_UP):
        some = ids[at : at + _LOOKED_UP]
        found = server.run(server.queue(queue).read_fields(some, [field]))
        there = [(job_id, value) for job_id, (value,) in zip(some, found, strict=True) if value is not None]
        seen |= {job_id for job_id, value in there if submitter.sees_all or submitter.may_see(owner_in(value))}
    return seen
