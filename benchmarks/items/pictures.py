"""Work that needs the processor: pictures on two processes, against a bare pool of two."""

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.lab import counted, lab
from benchmarks.peers import marks

from . import Figure, Item

WARM = 4
#: Seconds between two looks at how many are done, for all alike: who looks takes part of a core that they need.
PAUSE = 0.01


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    count = int(200 * seconds)
    if contender.name.startswith("limit"):
        return {"pictures": _bare_pool(count)}
    with lab(contender) as made:
        # All are there before: who sends them would take a core for a moment, too.
        made.send("image", WARM + count)
        with made.worker():
            # By then the worker has started, and has loaded what it needs.
            began = made.wait_for(WARM, pause=PAUSE)
            return {"pictures": count / (made.wait_for(WARM + count, 30 + count, PAUSE) - began)}


def _bare_pool(count: int) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context("fork").Pool(2, _begin, (folder,)) as pool,
    ):
        pool.map(_picture, range(WARM), chunksize=1)
        began = time.perf_counter()
        pool.map_async(_picture, range(count), chunksize=1)
        while counted(Path(folder)) < WARM + count:
            time.sleep(PAUSE)
        return count / (time.perf_counter() - began)


def _begin(folder: str) -> None:
    marks.FOLDER = os.environ["BENCH_FOLDER"] = folder


def _picture(_number: int) -> None:
    marks.image()


def _takes_part(contender: Contender) -> bool:
    return contender.pictures or contender.name.startswith("limit")


ITEM = Item("pictures", (Figure("pictures", "pictures/s", "more"),), _takes_part, measure)
