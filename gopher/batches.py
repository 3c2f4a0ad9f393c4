"""What holds a batch together whose jobs go to several queues: each queue stores its own in one call, all or none."""

from collections.abc import Mapping, Sequence

from .errors import InvalidJob
from .job import NewJob
from .queue import Request
from .replies import explained
from .server import Server
from .submission import InvalidBatch


def check_parents(server: Server, jobs: Sequence[NewJob], by_queue: Mapping[str, Sequence[int]]) -> None:
    """Raise InvalidBatch that names each job which would wait for one that does not exist, before any is stored.

    `by_queue` has the places of each queue's jobs. One queue's script checks that itself, but other queues' jobs may
    be stored by then.
    """
    errors = [
        (index, InvalidJob(f"there is no job {parent} in queue {queue!r} to wait for", "/after"))
        for queue, places in by_queue.items()
        for index, parent in _missing(server, queue, jobs, places)
    ]
    if errors:
        raise InvalidBatch(sorted(errors, key=lambda error: error[0]))


def is_known(server: Server, request: Request, queues: Sequence[str]) -> bool:
    """Return whether part of a request is stored already: then it was checked as a whole."""
    with explained():
        return any(server.client.exists(server.keys.of(queue).idempotency(request.key)) for queue in queues)


def _missing(server: Server, queue: str, jobs: Sequence[NewJob], places: Sequence[int]) -> list[tuple[int, str]]:
    """Return the place of each job with a parent that is neither stored nor an earlier one of the batch."""
    earlier: set[str] = set()
    outside: list[tuple[int, str]] = []
    for index in places:
        outside += [(index, parent) for parent in jobs[index].after if parent not in earlier]
        earlier.add(jobs[index].id)
    ids = list(dict.fromkeys(parent for _, parent in outside))
    found = server.run(server.queue(queue).look(ids, ["state"])) if ids else []
    gone = {parent for parent, (state,) in zip(ids, found, strict=True) if state is None}
    return [(index, parent) for index, parent in outside if parent in gone]
