"""How fast one program sends jobs: one by one, and with the call for many."""

from benchmarks.contenders import Contender
from benchmarks.lab import lab

from . import Figure, Item, everybody


def measure(contender: Contender, seconds: float) -> dict[str, float]:
    count, many = int(3000 * seconds), int(20_000 * seconds)
    with lab(contender) as made:
        found = {"one by one": count / made.send("noop", count)}
        if contender.bulk:
            found["bulk"] = many / made.send("noop", many, "many")
        return found


ITEM = Item("send", (Figure("one by one", "jobs/s", "more"), Figure("bulk", "jobs/s", "more")), everybody, measure)
