"""Batches across several queues, each of which stores its jobs in one call, all or none."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gopher.base.salvage import text
from gopher.errors import GopherError, InvalidJob, OutcomeUnknown, TooManyQueues
from gopher.jobs.job import NewJob
from gopher.jobs.owners import Submitter, whose
from gopher.jobs.submission import InvalidBatch
from gopher.server.errors import explained

from .arguments import Request
from .idempotency import IdempotencyMismatch
from .missing import Losses
from .store import Server

#: Parents that are read per call: an envelope may have a quarter of a megabyte.
_LOOKED_UP = 50


def places_by_queue(jobs: Sequence[NewJob]) -> dict[str, list[int]]:
    """Return the indexes of each queue's jobs."""
    by_queue: dict[str, list[int]] = {}
    for index, job in enumerate(jobs):
        by_queue.setdefault(job.queue, []).append(index)
    return by_queue


def with_parents(
    server: Server,
    jobs: Sequence[NewJob],
    by_queue: Mapping[str, Sequence[int]],
    submitter: Submitter,
    *,
    are_checked: bool = False,
) -> list[NewJob]:
    """Return the jobs with the queues of those parents that are in others, or are batches.

    Raises InvalidBatch, listing each job that would wait for a nonexistent one, before any is stored; for a single job
    its error. Not if they were checked before: then parents may be gone. Jobs that the submitter may not see count as
    nonexistent. `by_queue` has the indexes of each queue's jobs. The script also checks the parents of its own queue,
    but jobs of other queues may be stored by then, and it does not know owners.
    """
    missing = [
        (index, queue, parent)
        for queue, places in by_queue.items()
        for index, parent in _missing(server, queue, jobs, places, submitter)
    ]
    if not missing:
        return [*jobs]
    # Few jobs wait for others.
    from .remote_parents import find_parents

    places = find_parents(server, jobs, missing, submitter)
    unknown = [each for each in missing if each[::2] not in places]
    if unknown and not are_checked:
        losses = Losses(server)
        errors = [(index, no_parent(parent, queue, losses)) for index, queue, parent in sorted(unknown)]
        if len(jobs) == 1:
            raise errors[0][1]
        raise InvalidBatch(errors)
    remote: dict[int, list[tuple[str, str]]] = {}
    for (index, parent), queue in places.items():
        remote.setdefault(index, []).append((parent, queue))
    return [
        msgspec.structs.replace(job, remote_parents=tuple(remote[index])) if index in remote else job
        for index, job in enumerate(jobs)
    ]


def no_parent(parent: str, queue: str, losses: Losses) -> InvalidJob:
    """Return the error for a job that would wait for a nonexistent one."""
    return InvalidJob(f"there is no job {parent} to wait for{losses.why(parent)}", "/after")


def check_expiry(server: Server, jobs: Sequence[NewJob], request: Request | None = None) -> None:
    """Raise the errors of jobs that would expire at once, unless part of the request has been stored."""
    errors = expired(server, jobs)
    if not errors or (request and is_known(server, request, list({job.queue for job in jobs}))):
        return
    if len(jobs) == 1:
        raise errors[0][1]
    raise InvalidBatch(errors)


def expired(server: Server, jobs: Sequence[NewJob]) -> list[tuple[int, InvalidJob]]:
    """Return the index and the error of each job whose `expires_at` has passed by the server's clock."""
    # Those that begin with + are relative to when the job is stored.
    times = [(index, job.expires) for index, job in enumerate(jobs) if job.expires and job.expires[0] != "+"]
    if not times:
        return []
    from gopher.server.clock import now_at

    with explained():
        now = now_at(server.client, server.keys.for_queue(jobs[0].queue).prefix)
    error = InvalidJob("is in the past: the job would never run", "/expires_at")
    return [(index, error) for index, expires in times if int(expires) <= now]


def check_queues(server: Server, jobs: Sequence[NewJob]) -> None:
    """Raise the errors of jobs whose queues are not allowed, or would exceed the maximum number."""
    with explained():
        refused = server.names.refused(job.queue for job in jobs)
    if refused:
        raise refusal(server, jobs, server.names.too_many(refused))


def announce(server: Server, jobs: Sequence[NewJob], queues: Iterable[str]) -> None:
    """Register the queues of jobs. Raises the errors of those that would be too many."""
    try:
        server.register_queues(*queues)
    except TooManyQueues as error:
        raise refusal(server, jobs, error) from error


def refusal(server: Server, jobs: Sequence[NewJob], error: TooManyQueues) -> InvalidJob:
    """Return the error for a job whose queue is rejected, or for those of a batch."""
    if len(jobs) == 1:
        return error
    return QueuesRefused(
        error.code,
        [(index, server.names.too_many([job.queue])) for index, job in enumerate(jobs) if job.queue in error.queues],
    )


class QueuesRefused(InvalidBatch):
    """Raised when queues of a batch are not allowed, or would exceed the maximum number, as the code says."""

    def __init__(self, code: str, errors: Sequence[tuple[int, InvalidJob]]) -> None:
        super().__init__(errors)
        self.code = code


def is_known(server: Server, request: Request, queues: Sequence[str]) -> bool:
    """Return whether part of a request has been stored, which means that the whole request was validated.

    Raises IdempotencyMismatch if another request used its key: other queues, which don't know the key, would store it.
    """
    return first_answer(server, request, queues) is not None


def first_answer(server: Server, request: Request, queues: Sequence[str]) -> str | None:
    """Return the `answer` of the request of which part has been stored, None if there is none. Raises as `is_known`."""
    with explained():
        found = [server.client.get(server.keys.for_queue(queue).idempotency(request.key)) for queue in queues]
    known = [value.decode().split(" ", 1) for value in found if value is not None]
    if any(digest != request.digest for digest, _ in known):
        raise IdempotencyMismatch
    return known[0][1] if known else None


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
    fields = ["state"] if submitter.is_unlimited else ["type", "envelope"]
    seen: set[str] = set()
    for at in range(0, len(ids), _LOOKED_UP):
        some = ids[at : at + _LOOKED_UP]
        found = server.run(server.queue(queue).read_fields(some, fields))
        there = [(job_id, values) for job_id, values in zip(some, found, strict=True) if values[-1] is not None]
        seen |= {
            job_id
            for job_id, (kind, *envelope) in there
            if submitter.is_unlimited or submitter.may_see(queue, text(kind or b""), whose(envelope[0] or b""))
        }
    return seen


def parent_missing(server: Server, parent: str, queue: str, jobs: Sequence[NewJob]) -> InvalidJob:
    """Return the error for a job, or those of a batch, that would wait for one that does not exist."""
    error = no_parent(parent, queue, Losses(server))
    if len(jobs) == 1:
        return error
    return InvalidBatch(
        [(index, error) for index, job in enumerate(jobs) if job.queue == queue and parent in job.after]
    )


def stored_in_part(error: GopherError, stored: int, total: int) -> GopherError:
    """Return the error if a queue could not store its jobs after others had stored theirs."""
    if not stored:
        return error
    return OutcomeUnknown(
        f"{stored} of the {total} jobs were stored, in other queues: repeat the request with the same "
        "Idempotency-Key to store the others; none is stored twice",
        error,
    )
