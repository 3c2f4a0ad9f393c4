"""Bounds on waiting jobs (GOPHER_MAX_WAITING, GOPHER_MAX_WAITING_PER_OWNER), which the script that stores jobs checks.

Jobs are waiting until they start: those that are due, scheduled, retrying or throttled, or that wait for other jobs.
Without bounds nothing is counted or sent.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gopher.base.unique_modes import REJECT
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, QueueLimit
from gopher.jobs.job import NewJob
from gopher.jobs.submission import InvalidBatch

from .enqueued import Enqueued
from .taken import rejected, taken_by

if TYPE_CHECKING:
    from .store import Server

#: The beginning of the answer for a job that is beyond a bound.
_BEYOND = "BEYOND "


class Bounds(NamedTuple):
    """The bounds of a call. `mode` is `all` to store all jobs or none, `some` those that fit, `none` to only check."""

    mode: str
    #: How many jobs may wait in the queue, "" for no bound; and how many of the owner.
    most: str
    owner: str
    most_of_owner: str


def bounds_of(settings: Settings, owner: str, mode: str = "all") -> Bounds | None:
    """Return the bounds for jobs of an owner, None without any. Trusted jobs have no owner, hence not the second."""
    most, of_owner = settings.max_waiting, settings.max_waiting_per_owner if owner else None
    if most is None and of_owner is None:
        return None
    return Bounds(mode, "" if most is None else str(most), owner, "" if of_owner is None else str(of_owner))


def bound_in(answer: str) -> str:
    """Return which bound a job is beyond by the script's answer, `queue` or `owner`; "" if it is not."""
    return answer.removeprefix(_BEYOND) if answer.startswith(_BEYOND) else ""


def check_bounds(
    server: "Server", jobs: Sequence[NewJob], by_queue: Mapping[str, Sequence[int]], bounds: Bounds | None
) -> None:
    """Raise the error for jobs of a batch that do not fit into their queues, or reject others with their unique keys,
    before any is stored in another queue."""
    if (bounds is None or bounds.mode != "all") and not any(job.unique_mode == REJECT for job in jobs):
        return
    checks = Bounds("none", *(bounds[1:] if bounds else ("", "", "")))
    calls = [
        server.queue(name).enqueue([msgspec.structs.replace(jobs[at], envelope=b"") for at in places], bounds=checks)
        for name, places in by_queue.items()
    ]
    refused: dict[int, str] = {}
    taken: dict[int, str] = {}
    for places, reply in zip(by_queue.values(), server.run_each(calls), strict=True):
        refused |= refused_by(reply, places)
        taken |= taken_by(reply, places)
    if taken:
        raise rejected(jobs, taken)
    if refused:
        raise beyond(jobs, refused, bounds)


def refused_by(reply: Enqueued, places: Sequence[int]) -> dict[int, str]:
    """Return the jobs that are beyond a bound, by their index."""
    bounds = zip(places, map(bound_in, reply.answers), strict=True) if reply.kind == "BEYOND" else ()
    return {place: bound for place, bound in bounds if bound}


def rejection_of(
    jobs: Sequence[NewJob], reply: Enqueued, places: Sequence[int], bounds: Bounds | None
) -> InvalidJob | None:
    """Return the error if the script has stored nothing because of other jobs: those that wait, or have unique keys."""
    if reply.kind == "BEYOND":
        return beyond(jobs, refused_by(reply, places), bounds)
    return rejected(jobs, taken_by(reply, places)) if reply.kind == "REJECTED" else None


def queue_limit(job: NewJob, bound: str, bounds: Bounds | None) -> QueueLimit:
    """Return the error for a job that is beyond a bound: `queue` or `owner`."""
    assert bounds is not None
    if bound == "owner":
        return QueueLimit(
            f"is {job.queue!r}, in which {bounds.most_of_owner} jobs of {bounds.owner!r} are waiting, the maximum "
            "(GOPHER_MAX_WAITING_PER_OWNER): submit it again when some of them have started"
        )
    return QueueLimit(
        f"is {job.queue!r}, in which {bounds.most} jobs are waiting, the maximum (GOPHER_MAX_WAITING): "
        "submit it again when some of them have started"
    )


def beyond(jobs: Sequence[NewJob], refused: Mapping[int, str], bounds: Bounds | None) -> QueueLimit | InvalidBatch:
    """Return the error for jobs of which some, by index, are beyond a bound: nothing is stored."""
    errors = [(index, queue_limit(jobs[index], bound, bounds)) for index, bound in sorted(refused.items())]
    return errors[0][1] if len(jobs) == 1 else BatchBeyond(errors)


class BatchBeyond(InvalidBatch):
    """Raised for a batch with more jobs than may wait."""

    code = QueueLimit.code
    is_permanent = False
