"""Bytes in the server per waiting job with a payload of 100 bytes."""

from benchmarks.contenders import Contender
from benchmarks.lab import lab

from . import Figure, Item, all_contenders, alone


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    count = int(5000 * seconds)
    with lab(contender) as made:
        made.send("noop", 1)
        before = made.used_memory()
        made.send("noop", count, "many")
        return {"waiting job": (made.used_memory() - before) / count}


ITEM = Item("store", (Figure("waiting job", "bytes", "less"),), all_contenders, alone(measure), once=True)
