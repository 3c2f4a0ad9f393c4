"""Puts jobs into every state by the real moves, as a worker would make them."""

import json
from collections.abc import Iterator, Sequence
from itertools import count

from gopher.base.priorities import STRICT_ORDER
from gopher.client import Client
from gopher.queue.moves import Completion, Failure
from gopher.queue.replies import FetchedJob


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

    def fetch(self, want: int = 1) -> list[FetchedJob]:
        fetched = self.server.run(self.queue.fetch(self.name, want, next(self._numbers), STRICT_ORDER, strict=True))
        assert not fetched.lost
        return fetched.jobs

    def complete(self, jobs: Sequence[FetchedJob], result: bytes = b'{"ok":true}', log: bytes = b"") -> None:
        done = [Completion(job.id, job.token, 12.5, result, log) for job in jobs]
        answers = self.server.run(self.queue.complete(self.name, done))
        assert answers == ["OK"] * len(done)

    def retry(self, job: FetchedJob, delay: float = 3600.0, error: str = "ValueError") -> None:
        assert self.server.run(self.queue.retry(self.name, _failure(job, error), delay)) == "OK"

    def dead_letter(self, job: FetchedJob, error: str = "ValueError", place: str = "") -> None:
        assert self.server.run(self.queue.dead_letter(self.name, _failure(job, error), error, place)) == "OK"


def _failure(job: FetchedJob, error: str) -> Failure:
    reason = {"type": error, "message": f"it broke: {error}", "traceback": None, "permanent": False}
    row = {
        "attempt": job.attempt,
        "outcome": "failed",
        "worker": "seeder-1-abc",
        "started_at": 1_790_000_000_000,
        "ended_at": 1_790_000_000_012,
        "error": reason,
    }
    return Failure(job.id, job.token, 12.0, json.dumps(reason).encode(), json.dumps(row).encode(), b"", "")
