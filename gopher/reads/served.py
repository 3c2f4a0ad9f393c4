"""Checks whether live workers serve the types and queues of jobs that are submitted with `require_worker`."""

from collections.abc import Callable, Collection, Sequence

from gopher.base.near import did_you_mean
from gopher.errors import InvalidJob, NoWorker
from gopher.jobs.job import NewJob
from gopher.jobs.models import WorkerView
from gopher.jobs.submission import InvalidBatch

#: How many names an error lists.
_LISTED = 10


def check_served(live_workers: Callable[[], list[WorkerView]], jobs: Sequence[NewJob]) -> None:
    """Raise the errors of jobs that require a live worker and have none."""
    errors = unserved(live_workers, jobs)
    if errors:
        raise errors[0][1] if len(jobs) == 1 else NotServed(errors)


class NotServed(InvalidBatch):
    """Raised when jobs of a batch require a live worker and have none."""

    code = NoWorker.code


def unserved(live_workers: Callable[[], list[WorkerView]], jobs: Sequence[NewJob]) -> list[tuple[int, InvalidJob]]:
    """Return the index and the error of each job that requires a live worker and has none."""
    if not any(job.require_worker for job in jobs):
        return []
    workers = live_workers()
    served = {(job_type, queue) for worker in workers for job_type in worker.types for queue in worker.queues}
    return [
        (index, _no_worker(job, workers))
        for index, job in enumerate(jobs)
        if job.require_worker and (job.type, job.queue) not in served
    ]


def _no_worker(job: NewJob, workers: Sequence[WorkerView]) -> NoWorker:
    types = {name for worker in workers for name in worker.types}
    if not workers:
        return NoWorker("no worker is running: start one, or submit without require_worker", "/type")
    if job.type not in types:
        return NoWorker(f"no live worker has a handler for {job.type!r}: {_suggestion(job.type, types)}", "/type")
    queues = {name for worker in workers if job.type in worker.types for name in worker.queues}
    return NoWorker(
        f"no live worker serves {job.type!r} in queue {job.queue!r}: {_suggestion(job.queue, queues)}", "/queue"
    )


def _suggestion(name: str, known: Collection[str]) -> str:
    if near := did_you_mean(name, known, 3):
        return near
    listed = sorted(known)
    return f"live workers serve {', '.join(listed[:_LISTED])}{', ...' if len(listed) > _LISTED else ''}"
