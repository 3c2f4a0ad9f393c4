"""`python -m benchmarks.parked`: the cost of a job while many others are throttled or scheduled.

Fills two servers with the real scripts, one with 100 and one with MANY (100000) jobs, half of them throttled by a
limit and half scheduled. Then stores and fetches runnable jobs, one per call, on both, interleaved in ROUNDS (40)
rounds so that noise affects both. Prints the time (us) per call that the server reports.
"""

import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from gopher.client import Client
from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.arguments import Completion
from gopher.queue.replies import Fetched
from gopher.server.embedded import EmbeddedServer

from .lab import OPTIONS
from .server import program

FEW = 100
_OF_A_ROUND = 60
_BULK = 1000
_FAR = "+9999999"


class Side:
    """A server with many jobs that can't run yet, and a worker that fetches the others."""

    def __init__(self, client: Client, waiting: int) -> None:
        self._server = client.server.client
        self._queue = client.server.queue("default")
        self._run = client.server.run
        self._number = 1
        self._run(self._queue.heartbeat("bench", 3600.0, first=True))
        self._run(self._queue.set_limit("parked", 1 / 3600, 1, None))
        for at in range(0, waiting // 2, _BULK):
            some = min(_BULK, waiting // 2 - at)
            self._run(self._queue.enqueue([_job("parked") for _ in range(some)]))
            self._run(self._queue.enqueue([_job("scheduled", _FAR) for _ in range(some)]))
            while self._fetch().more:
                pass

    def round(self) -> tuple[float, float]:
        """Return the server's mean time (us) in a round for storing a job and for fetching one."""
        before = self._spent()
        for _ in range(_OF_A_ROUND):
            self._run(self._queue.enqueue([_job("free")]))
        stored = self._spent()
        jobs = [job for _ in range(_OF_A_ROUND) for job in self._fetch().jobs]
        fetched = self._spent()
        self._run(self._queue.complete("bench", [Completion(job.id, job.token, 1.0, b"", b"") for job in jobs]))
        return (stored - before) / _OF_A_ROUND, (fetched - stored) / _OF_A_ROUND

    def _fetch(self) -> Fetched:
        reply: Fetched = self._run(self._queue.fetch("bench", 1, self._number, "hnl", strict=True))
        self._number = reply.next_number
        return reply

    def _spent(self) -> float:
        """Return the microseconds of scripts so far."""
        return float(self._server.info("commandstats")["cmdstat_evalsha"]["usec"])


def _job(job_type: str, due: str = "") -> NewJob:
    return NewJob(new_job_id(), job_type, b"{}", due=due)


def main() -> int:
    many, rounds = int(os.environ.get("MANY", "100000")), int(os.environ.get("ROUNDS", "40"))
    found: tuple[list[tuple[float, float]], ...] = ([], [])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gopher-parked-")))
        sides = []
        for waiting in (FEW, many):
            server = stack.enter_context(EmbeddedServer(folder / str(waiting), program=program(), options=OPTIONS))
            sides.append(Side(stack.enter_context(Client(server.url)), waiting))
            sides[-1].round()
        for number in range(rounds):
            for which in (0, 1) if number % 2 else (1, 0):
                found[which].append(sides[which].round())
    for name, few, crowded in zip(("store", "fetch"), *(zip(*side, strict=True) for side in found), strict=True):
        ratio = statistics.median(more / less for less, more in zip(few, crowded, strict=True))
        medians = [statistics.median(each) for each in (few, crowded)]
        print(f"{name}: {medians[0]:.0f} us with {FEW}, {medians[1]:.0f} us with {many:,} others: {ratio:.2f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
