"""CPU-bound work: pictures on two processes, compared with a bare pool of two.

The queues are measured one after the other. Gopher and the pool differ by a few hundredths, less than the machine's
speed varies, so these two are interleaved, and the median of the ratios of all turns counts.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.lab import START_TIMEOUT, Lab, counted, lab
from benchmarks.peers import marks
from gopher.client import Client

from . import Figure, Item, alone, gopher_only

WARM = 4
#: Seconds between two reads of the progress, the same for all, since reading takes CPU time from the workers.
PAUSE = 0.01
#: Pictures per slice in a measurement of one second, and slices of each side.
OF_A_TURN, TURNS = 24, 45


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    count = int(200 * seconds)
    if contender.name.startswith("limit"):
        with _bare_pool() as pool:
            return {"pictures": pool.turn(count)}
    with lab(contender) as made:
        # All are stored before, since sending takes CPU time, too.
        made.send("image", WARM + count)
        with made.worker():
            # By then the worker has started, and loaded what it needs.
            began = made.wait_for(WARM, pause=PAUSE)
            found = {"pictures": count / (made.wait_for(WARM + count, START_TIMEOUT + count, PAUSE) - began)}
            return found | (_beside_the_pool(made, int(OF_A_TURN * seconds)) if gopher_only(contender) else {})


def _beside_the_pool(made: Lab, count: int) -> dict[str, float]:
    with _bare_pool() as pool, Client(made.url) as client:
        sides = (_Paused(made, client), pool)
        rates: tuple[list[float], ...] = ([], [])
        for number in range(TURNS):
            for which in (0, 1) if number % 2 else (1, 0):
                rates[which].append(sides[which].turn(count))
    return {"pictures/bare pool": median(ours / bare for ours, bare in zip(*rates, strict=True))}


class _Paused:
    """Gopher with a queue that is paused between slices, so that a slice's jobs are all stored when it starts."""

    def __init__(self, made: Lab, client: Client) -> None:
        self._made = made
        self._client = client
        self._queue = client.server.queue("default")

    def turn(self, count: int) -> float:
        """Return the pictures per second."""
        run = self._client.server.run
        run(self._queue.pause())
        self._client.enqueue_many({"type": "image", "payload": {}} for _ in range(count))
        goal = self._made.done() + count
        began = time.perf_counter()
        run(self._queue.resume())
        return count / (self._made.wait_for(goal, START_TIMEOUT + count, PAUSE) - began)


class _Pool:
    def __init__(self, pool: Any, folder: Path) -> None:
        self._pool = pool
        self._folder = folder

    def turn(self, count: int) -> float:
        """Return the pictures per second."""
        goal = counted(self._folder) + count
        began = time.perf_counter()
        self._pool.map_async(_picture, range(count), chunksize=1)
        while counted(self._folder) < goal:
            time.sleep(PAUSE)
        return count / (time.perf_counter() - began)


@contextmanager
def _bare_pool() -> Iterator[_Pool]:
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("fork").Pool(2, _begin, (folder,)) as pool,
    ):
        pool.map(_picture, range(WARM), chunksize=1)
        yield _Pool(pool, Path(folder))


def _begin(folder: str) -> None:
    marks.FOLDER = os.environ["BENCH_FOLDER"] = folder


def _picture(_number: int) -> None:
    marks.image()


def _takes_part(contender: Contender) -> bool:
    return contender.pictures or contender.name.startswith("limit")


ITEM = Item(
    "pictures",
    (Figure("pictures", "pictures/s", "more"), Figure("pictures/bare pool", "ratio", "more")),
    _takes_part,
    alone(measure),
)
