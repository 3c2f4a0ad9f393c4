"""Puts jobs into every state by the real moves, as a worker would make them."""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import count

import msgspec

from gopher.base.priorities import STRICT_ORDER
from gopher.client import Client
from gopher.jobs.models import WorkerView
from gopher.queue.arguments import Completion, Failure
from gopher.queue.presence import show_worker
from gopher.queue.replies import FetchedJob

_NOW = "2026-01-01T00:00:00Z"
#: A call that gets no reply within a second is repeated: the repeat is told so.
_TAKEN = {"OK", "ALREADY"}


class SeedingWorker:
    """A worker without children: it fetches, and says what became of each job."""

    def __init__(self, client: Client, queue: str = "default", name: str = "seeder-1-abc") -> None:
        self.server = client.server
        self.name = name
        self.queue = self.server.queue(queue)
        self._numbers: Iterator[int] = count(1, 1000)
        self.beat()

    def beat(self, lease: float = 60.0) -> None:
        self.server.run(self.queue.heartbeat(self.name, lease, first=True))

    def show(self, *types: str, queues: Sequence[str] = ("default",)) -> None:
        """Publish a record, as a worker with handlers of these types does."""
        view = WorkerView(self.name, "here", 1, "1", list(queues), list(types), [], 0, 0, _NOW, _NOW)
        now = round(time.time() * 1000)
        for command in show_worker(self.server.keys, self.name, msgspec.json.encode(view), now, 60.0):
            self.server.client.execute_command(*command.words)

    def fetch(self, want: int = 1) -> list[FetchedJob]:
        fetched = self.server.run(self.queue.fetch(self.name, want, next(self._numbers), STRICT_ORDER, strict=True))
        assert not fetched.lost
        return fetched.jobs

    def complete(self, jobs: Sequence[FetchedJob], result: bytes = b'{"ok":true}', log: bytes = b"") -> None:
        done = [Completion(job.id, job.token, 12.5, result, log) for job in jobs]
        assert set(self.server.run(self.queue.complete(self.name, done))) <= _TAKEN

    def retry(self, job: FetchedJob, delay: float = 3600.0, error: str = "ValueError", crash: str = "") -> None:
        assert self.server.run(self.queue.retry(self.name, _failure(job, error, crash), delay)) in _TAKEN

    def throttle(self, job: FetchedJob, delay: float = 60.0, scope: str = "key") -> None:
        assert self.server.run(self.queue.throttle(self.name, job.id, job.token, delay, scope)) in _TAKEN

    def dead_letter(self, job: FetchedJob, error: str = "ValueError", place: str = "", crash: str = "") -> None:
        assert self.server.run(self.queue.dead_letter(self.name, _failure(job, error, crash), error, place)) in _TAKEN


def _failure(job: FetchedJob, error: str, crash: str) -> Failure:
    reason = {"type": error, "message": f"it broke: {error}", "traceback": None, "permanent": False}
    row = {
        "attempt": job.attempt,
        "outcome": "crashed" if crash else "failed",
        "worker": "seeder-1-abc",
        "started_at": 1_790_000_000_000,
        "ended_at": 1_790_000_000_012,
        "error": reason,
    }
    return Failure(job.id, job.token, 12.0, json.dumps(reason).encode(), json.dumps(row).encode(), b"", crash)
