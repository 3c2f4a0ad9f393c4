"""How fast one program sends jobs: one by one, and with the call for many."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.contenders import Contender
from benchmarks.lab import Send, lab

from . import Figure, Found, Item, by_turns, everybody

TURNS = 9
#: Jobs of a turn of a second's measurement.
ONE_BY_ONE, BULK = 1500, 5000


@contextmanager
def side(contender: Contender, seconds: float) -> Iterator[Callable[[], Found]]:
    with lab(contender) as made, made.sender() as send:
        yield lambda: _turn(contender, send, int(ONE_BY_ONE * seconds), int(BULK * seconds))


def _turn(contender: Contender, send: Send, count: int, many: int) -> Found:
    found = {"one by one": count / send("noop", count, "one")}
    if contender.bulk:
        found["bulk"] = many / send("noop", many, "many")
    return found


ITEM = Item(
    "send", (Figure("one by one", "jobs/s", "more"), Figure("bulk", "jobs/s", "more")), everybody, by_turns(side, TURNS)
)
