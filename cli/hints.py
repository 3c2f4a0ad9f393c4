"""Hints about missing processes, printed in addition to a command's output."""

from collections.abc import Collection
from contextlib import suppress

from gopher.base.near import did_you_mean
from gopher.base.states import TIMED
from gopher.errors import GopherError
from gopher.interface import Gopher
from gopher.interface.doubts import doubt_about_queue, doubt_about_type
from gopher.jobs.models import WorkerView
from gopher.reads.advice import NO_SCHEDULER, START_SCHEDULER, start_worker

from .output import Output


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


def hint_at_missing(out: Output, gopher: Gopher, job_id: str) -> None:
    """Print a hint for each missing process that a job is waiting for."""
    with suppress(GopherError):  # It may have ended and be gone.
        view = gopher.job(job_id)
        for hint in missing(gopher, view.type, view.queue, view.status):
            out.note(hint)


def doubt(out: Output, gopher: Gopher, *, job_type: str | None = None, queue: str | None = None) -> None:
    """Print warnings about a type and a queue that may be misspelt."""
    with suppress(GopherError):  # An API key may not be allowed to see them.
        warnings = [
            doubt_about_type(gopher, job_type) if job_type is not None else "",
            doubt_about_queue(gopher, queue) if queue is not None else "",
        ]
        for warning in filter(None, warnings):
            out.note(warning)


def unserved(workers: list[WorkerView], job_type: str, queue: str) -> str:
    """Return what to start if no live worker takes jobs of this type from this queue, otherwise ""."""
    on_queue = [worker for worker in workers if queue in worker.queues]
    able = [worker for worker in on_queue if job_type in worker.types]
    if any(worker.state == "running" for worker in able):
        return ""
    start = start_worker(queue)
    if able:
        return (
            f"all workers that run {job_type!r} from queue {queue!r} are quiet or stopping: start another with {start}"
        )
    if on_queue:
        known = {name for worker in on_queue for name in worker.types}
        remedy = f"start one with its module in GOPHER_HANDLERS: {start}"
        return f"no worker on queue {queue!r} knows {job_type!r}: {_meant(job_type, known)}{remedy}"
    where = "" if queue == "default" else f" on queue {queue!r}"
    known = {name for worker in workers for name in worker.queues}
    return f"no worker serves {job_type!r}{where}: {_meant(queue, known)}start one with {start}"


def _meant(name: str, known: Collection[str]) -> str:
    near = did_you_mean(name, known)
    return f"{near} Otherwise " if near else ""
