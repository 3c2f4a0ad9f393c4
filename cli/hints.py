"""Hints about missing processes, printed in addition to a command's output."""

from gopher.base.states import TIMED
from gopher.errors import GopherError
from gopher.interface import Gopher
from gopher.jobs.models import WorkerView
from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER


def missing(client: Gopher, job_type: str, queue: str, status: str) -> list[str]:
    """Return a hint for each missing process that a job is waiting for."""
    try:
        hints = [unserved(client.workers(), job_type, queue)]
        if status in TIMED and client.health().scheduler == "missing":
            hints.append(f"{NO_SCHEDULER}; {START_SCHEDULER}")
    except GopherError:
        # The job is stored: an error here would be misleading.
        return []
    return [hint for hint in hints if hint]


def unserved(workers: list[WorkerView], job_type: str, queue: str) -> str:
    """Return what to start if no live worker takes jobs of this type from this queue, otherwise ""."""
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
