"""How fast one program enqueues jobs: one by one, and in bulk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.contenders import Contender
from benchmarks.lab import Send, lab

from . import Figure, Found, Item, all_contenders, interleaved

TURNS = 9
#: Jobs per turn, for a measurement of one second.
ONE_BY_ONE, BULK = 1500, 5000


@contextmanager
def side(contender: Contender, seconds: float) -> Iterator[Callable[[], Found]]:
    with lab(contender) as made, made.sender() as send:
        yield lambda: _turn(contender, send, int(ONE_BY_ONE * seconds), int(BULK * seconds))


def _turn(contender: Contender, send: Send, count: int, many: int) -> Found:
    found = {"enqueue, one by one": count / send("noop", count, "one")}
    if contender.bulk:
        found["enqueue, in bulk"] = many / send("noop", many, "many")
    return found


ITEM = Item(
    "send",
    (Figure("enqueue, one by one", "jobs/s", "more"), Figure("enqueue, in bulk", "jobs/s", "more")),
    all_contenders,
    interleaved(side, TURNS),
)
