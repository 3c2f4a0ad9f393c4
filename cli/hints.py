"""What is missing for a job to run: said beside an answer, never in its place."""

from gopher.base.states import TIMED
from gopher.errors import GopherError
from gopher.interface import Gopher
from gopher.jobs.models import WorkerView
from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER


def missing(client: Gopher, job_type: str, queue: str, status: str) -> list[str]:
    """Return a sentence for each process that a job waits for and nobody runs."""
    try:
        hints = [unserved(client.workers(), job_type, queue)]
        if status in TIMED and client.health().scheduler == "missing":
            hints.append(f"{NO_SCHEDULER}; {START_SCHEDULER}")
    except GopherError:
        # The job is stored: a failure here would speak of something else.
        return []
    return [hint for hint in hints if hint]


def unserved(workers: list[WorkerView], job_type: str, queue: str) -> str:
    """Return what to start when no live worker takes jobs of this type from this queue, "" when one does."""
    on_queue = [worker for worker in workers if queue in worker.queues]
    if any(job_type in worker.types for worker in on_queue):
        return ""
    start = "gopherctl worker" if queue == "default" else f"gopherctl worker --queues {queue}"
    if on_queue:
        return (
            f"no worker on queue {queue!r} knows {job_type!r}: start one with its module in GOPHER_HANDLERS: `{start}`"
        )
    where = "" if queue == "default" else f" on queue {queue!r}"
    return f"no worker serves {job_type!r}{where}: start one with `{start}`"
