"""How fast two processes run waiting no-op jobs.

The workers of all contenders run side by side, and all but one are stopped at any time. When they were measured one
after the other, for a second each, the ratio of the same two workers varied from 3.8 to 6.2.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from benchmarks.contenders import Contender
from benchmarks.lab import Lab, Stuck, halt, lab, let_go_on

from . import Figure, Found, Item, all_contenders, interleaved

TURNS = 5
#: Warm-up in seconds: before the first slice, and at the start of each.
WARM_UP, SETTLING = 0.4, 0.2
#: Seconds without progress after which a worker is considered dead.
_PATIENCE = 3.0


@contextmanager
def side(contender: Contender, seconds: float) -> Iterator[Callable[[], Found]]:
    turn = 0.4 * seconds
    count = max(int(contender.expected * (WARM_UP + 0.3 + TURNS * (SETTLING + turn))), 50)
    with lab(contender) as made:
        made.send("noop", count, "many")
        with made.worker() as root:
            made.wait_for(1)
            time.sleep(WARM_UP)
            halt(root)
            try:
                yield lambda: {"drain": _turn(made, root, count, turn)}
            finally:
                let_go_on(root)


def _turn(made: Lab, root: psutil.Process, count: int, seconds: float) -> float:
    let_go_on(root)
    try:
        time.sleep(SETTLING)
        at, began = made.done(), time.perf_counter()
        time.sleep(seconds)
        # On a busy core, a short slice may pass before the worker gets any CPU time.
        made.wait_for(at + 1, _PATIENCE)
        done, ended = made.done(), time.perf_counter()
    finally:
        halt(root)
    if done >= count:
        raise Stuck(f"all {count} jobs finished before the end of the slice")
    return (done - at) / (ended - began)


ITEM = Item("drain", (Figure("drain", "no-op jobs/s", "more"),), all_contenders, interleaved(side, TURNS))
