"""What holds a batch together whose jobs go to several queues: each queue stores its own in one call, all or none."""

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

#: Parents that are looked up in one call: an envelope may have a quarter of a megabyte.
_LOOKED_UP = 50


def check_parents(
    server: Server, jobs: Sequence[NewJob], by_queue: Mapping[str, Sequence[int]], submitter: Submitter
) -> None:
    """Raise InvalidBatch that names each job which would wait for one that does not exist, before any is stored.

    For a single job the error itself is raised. Jobs that the submitter may not see count as nonexistent.
    `by_queue` has the places of each queue's jobs. The script checks the parents of its own queue, but jobs of other
    queues may be stored by then, and it does not know owners.
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
    """Return the error for a job that would wait for one that does not exist."""
    return InvalidJob(f"there is no job {parent} in queue {queue!r} to wait for{losses.why(parent)}", "/after")


def check_queues(server: Server, jobs: Sequence[NewJob]) -> None:
    """Raise what storing the jobs would raise because of too many queues: for each whose queue would be one more."""
    with explained():
        refused = server.names.refused(job.queue for job in jobs)
    if refused:
        raise refusal(server, jobs, server.names.too_many(refused))


def refusal(server: Server, jobs: Sequence[NewJob], error: TooManyQueues) -> InvalidJob:
    """Return the error for a job whose queue is refused, or for those of a batch."""
    if len(jobs) == 1:
        return error
    return TooManyQueuesInBatch(
        [(index, server.names.too_many([job.queue])) for index, job in enumerate(jobs) if job.queue in error.queues]
    )


class TooManyQueuesInBatch(InvalidBatch):
    """Raised when queues of a batch would be more than there may be."""

    code = TooManyQueues.code


def is_known(server: Server, request: Request, queues: Sequence[str]) -> bool:
    """Return whether part of a request is stored already: then it was checked as a whole.

    Raises IdempotencyMismatch when another request had its key: queues that do not know it would store their jobs.
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
    """Return the place of each job with a parent that is neither stored nor an earlier one of the batch."""
    earlier: set[str] = set()
    outside: list[tuple[int, str]] = []
    for index in places:
        outside += [(index, parent) for parent in jobs[index].after if parent not in earlier]
        earlier.add(jobs[index].id)
    ids = list(dict.fromkeys(parent for _, parent in outside))
    seen = _seen(server, queue, ids, submitter)
    return [(index, parent) for index, parent in outside if parent not in seen]


def _seen(server: Server, queue: str, ids: Sequence[str], submitter: Submitter) -> set[str]:
    """Return which of these jobs exist as far as the submitter may know."""
    # An envelope contains the whole payload: read only where the owner matters.
    field = "state" if submitter.sees_all else "envelope"
    seen: set[str] = set()
    for at in range(0, len(ids), _LOOKED_UP):
        some = ids[at : at + _LOOKED_UP]
        found = server.run(server.queue(queue).read_fields(some, [field]))
        there = [(job_id, value) for job_id, (value,) in zip(some, found, strict=True) if value is not None]
        seen |= {job_id for job_id, value in there if submitter.sees_all or submitter.may_see(owner_in(value))}
    return seen
