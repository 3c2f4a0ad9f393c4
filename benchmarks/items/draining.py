"""How fast waiting jobs that do nothing are worked off by two processes."""

import time

from benchmarks.contenders import Contender
from benchmarks.lab import Lab, lab

from . import Figure, Item, everybody

#: Seconds that the processes have to get going before the clock starts.
WARM_UP = 0.4


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    count = max(int(contender.expected * (seconds + WARM_UP + 0.3)), 50)
    with lab(contender) as made:
        made.send("noop", count, "many")
        with made.worker():
            made.wait_for(1)
            time.sleep(WARM_UP)
            return {"drain": _rate(made, count, seconds)}


def _rate(made: Lab, count: int, seconds: float) -> float:
    at, began = made.done(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        if made.done() >= count:
            break
        time.sleep(0.005)
    return (made.done() - at) / (time.perf_counter() - began)


ITEM = Item("drain", (Figure("drain", "no-op jobs/s", "more"),), everybody, measure)
