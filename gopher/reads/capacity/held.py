"""Jobs that workers have fetched and hold, since there is no memory for them: on the server they run, but they wait."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gopher.base.durations import in_seconds
from gopher.base.salvage import order, text
from gopher.base.states import RUNNING
from gopher.jobs.job import HINT_DIGITS, queue_hint
from gopher.jobs.models import WorkerView
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import ask


class HeldJob(NamedTuple):
    """A job's type, and for how long it has waited (s)."""

    type: str
    age: float


def read_held(
    server: Server, workers: Sequence[WorkerView], queues: Sequence[str], now: int
) -> Mapping[str, Sequence[HeldJob]]:
    """Return the jobs of some queues that workers hold, by id of the worker; `now` is the server's clock (ms)."""
    places = [
        (worker.id, name, job_id)
        for worker in workers
        for job_id in (worker.admission.held if worker.admission is not None else ())
        for name in _likely(job_id, [name for name in worker.queues if name in queues])
    ]
    fields = ("type", "since", "state", "token")
    words = [("HMGET", server.keys.for_queue(name).job(job_id), *fields) for _, name, job_id in places]
    with explained():
        records = ask(server.client, words)
    found: dict[str, list[HeldJob]] = {}
    for (worker_id, _, _), (job_type, since, state, token) in zip(places, records, strict=True):
        # It may have ended since, or another one may have it.
        if job_type and text(state or b"") in RUNNING and text(token or b"").rpartition(".")[0] == worker_id:
            age = in_seconds(max(now - order(since, now), 0))
            found.setdefault(worker_id, []).append(HeldJob(text(job_type), age))
    return found


def _likely(job_id: str, queues: Sequence[str]) -> Sequence[str]:
    """Return the queues that a job may be in, by its id."""
    return [name for name in queues if queue_hint(name) == job_id[-HINT_DIGITS:]] or queues
