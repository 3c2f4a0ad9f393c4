"""Server CPU time to settle and fetch a job, with few and with many jobs waiting.

BENCH_DEEP is the number that counts as many.
"""

import os
import time
from statistics import median

from benchmarks.contenders import Contender
from benchmarks.lab import lab
from benchmarks.numbers import ratios
from gopher.client import Client
from gopher.queue.arguments import Completion

from . import Figure, Item, alone, gopher_only

FEW = 100
MANY = int(os.environ.get("BENCH_DEEP", "1000000"))
#: Jobs per call, calls per slice, and slices of each side in a measurement of one second.
BATCH, CALLS, TURNS = 16, 100, 30


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    # Interleaved on two servers, so that noise affects both.
    with lab(contender) as few, lab(contender) as many:
        sides = [Side(made.url, made.server.pid or 0, count) for made, count in ((few, FEW), (many, MANY))]
        turns = [[side.slice() for side in sides] for _ in range(max(int(TURNS * seconds), 4))]
        for side in sides:
            side.client.close()
    few_cost, many_cost = ([turn[index] for turn in turns] for index in range(2))
    return {
        "server CPU, 100 jobs waiting": median(few_cost),
        "server CPU, many jobs waiting": median(many_cost),
        "many/100 jobs waiting": ratios(many_cost, few_cost).median,
    }


class Side:
    """A worker's calls on one server, by hand."""

    def __init__(self, url: str, pid: int, waiting: int) -> None:
        self.client = Client(url)
        self._queue = self.client.server.queue("default")
        self._pid = pid
        self._number = 1
        self._held: list[Completion] = []
        self._add(waiting)
        self.client.server.run(self._queue.heartbeat("bench", 3600, first=True))

    def slice(self) -> float:
        """Return the server's CPU time per job in microseconds."""
        seconds = 0.0
        for _ in range(CALLS):
            # Fetched jobs are replaced outside the measured time, so that the number of waiting jobs stays constant.
            self._add(BATCH)
            began = self._seconds()
            self._exchange()
            seconds += self._seconds() - began
        return seconds / (CALLS * BATCH) * 1e6

    def _exchange(self) -> None:
        calls = [self._queue.fetch("bench", BATCH, self._number, "hnhlhnhnh", strict=False)]
        if self._held:
            calls.insert(0, self._queue.complete("bench", self._held))
        self._number += BATCH
        fetched = self.client.server.run_all(calls)[-1]
        self._held = [Completion(job.id, job.token, 1.0, b"", b"") for job in fetched.jobs]

    def _add(self, count: int) -> None:
        self.client.enqueue_many({"type": "noop", "payload": {"x": "y" * 92}} for _ in range(count))

    def _seconds(self) -> float:
        try:
            with open(f"/proc/{self._pid}/schedstat") as file:
                return int(file.read().split()[0]) / 1e9
        except OSError:
            # This system has no such file: use the wall clock.
            return time.perf_counter()


ITEM = Item(
    "deep",
    (
        Figure("server CPU, 100 jobs waiting", "µs/job", "less"),
        Figure("server CPU, many jobs waiting", f"µs/job, {MANY:,} waiting", "less"),
        Figure("many/100 jobs waiting", "ratio", "less"),
    ),
    gopher_only,
    alone(measure),
    once=True,
)
