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
_PATIENCE = 30.0
#: How often a slice is measured until some jobs are left at its end.
_ATTEMPTS = 5


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
    """Return the jobs per second of a slice.

    While we get no CPU time, all jobs may finish: then others are sent, and the slice is measured again.
    """
    for _ in range(_ATTEMPTS):
        if (rate := _slice(made, root, seconds)) is not None:
            return rate
        made.send("noop", count, "many")
    raise Stuck(f"all {count} jobs finished before the end of the slice")


def _slice(made: Lab, root: psutil.Process, seconds: float) -> float | None:
    """Return the jobs per second, None if all jobs have finished."""
    let_go_on(root)
    try:
        time.sleep(SETTLING)
        at, began = made.done(), time.perf_counter()
        if at >= made.sent:
            return None
        time.sleep(seconds)
        # On a busy core, a short slice may pass before the worker gets any CPU time.
        made.wait_for(at + 1, _PATIENCE)
        done, ended = made.done(), time.perf_counter()
    finally:
        halt(root)
    return (done - at) / (ended - began) if done < made.sent else None


ITEM = Item("drain", (Figure("drain", "no-op jobs/s", "more"),), all_contenders, interleaved(side, TURNS))
