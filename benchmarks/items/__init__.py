"""The benchmark items. Each module has an `ITEM`: figures with units, contenders, and how it is measured."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from statistics import median
from typing import NamedTuple

from benchmarks.contenders import Contender

#: A value for each figure.
Found = dict[str, float]
#: Measures contenders for about the given seconds each; yields the values of each, or why it failed.
Measure = Callable[[Sequence[Contender], float], Iterator[tuple[Contender, Found | Exception]]]


class Figure(NamedTuple):
    """A column of the table. `better` is `more` or `less`."""

    name: str
    unit: str
    better: str


class Item(NamedTuple):
    """A kind of work."""

    name: str
    figures: tuple[Figure, ...]
    takes_part: Callable[[Contender], bool]
    measure: Measure
    #: Measured once per run, if the figure does not depend on the machine's speed.
    once: bool = False


def alone(measure: Callable[[Contender, float], Found]) -> Measure:
    """Measure one contender after the other."""

    def measure_each(contenders: Sequence[Contender], seconds: float) -> Iterator[tuple[Contender, Found | Exception]]:
        for contender in contenders:
            try:
                yield contender, measure(contender, seconds)
            except Exception as problem:  # noqa: BLE001 - a failing contender is reported, the others continue
                yield contender, problem

    return measure_each


def interleaved(side: Callable[[Contender, float], AbstractContextManager[Callable[[], Found]]], turns: int) -> Measure:
    """Measure all contenders in short, interleaved turns, because the machine's speed changes within a second.

    `side` prepares a contender and yields a function that makes one of its turns. The medians of the turns count.
    """

    def measure(contenders: Sequence[Contender], seconds: float) -> Iterator[tuple[Contender, Found | Exception]]:
        places = range(len(contenders))
        reached: dict[int, list[Found]] = {place: [] for place in places}
        failed: dict[int, Exception] = {}
        with ExitStack() as stack:
            make_turn: dict[int, Callable[[], Found]] = {}
            for place in places:
                try:
                    make_turn[place] = stack.enter_context(side(contenders[place], seconds))
                except Exception as problem:  # noqa: BLE001 - a failing contender is reported, the others continue
                    failed[place] = problem
            for number in range(turns):
                # The order alternates, so that no contender always follows the same one.
                for place in places if number % 2 else reversed(places):
                    try:
                        if place not in failed:
                            reached[place].append(make_turn[place]())
                    except Exception as problem:  # noqa: BLE001 - here, too
                        failed[place] = problem
        for place in places:
            yield contenders[place], failed.get(place) or _medians(reached[place])

    return measure


def _medians(turns: Sequence[Found]) -> Found:
    return {name: median(turn[name] for turn in turns) for name in turns[0]}


def all_contenders(contender: Contender) -> bool:
    return True


def gopher_only(contender: Contender) -> bool:
    return contender.name == "Gopher"


def queues(contender: Contender) -> bool:
    """Contenders that are queues, without the bare server."""
    return not contender.name.startswith("limit")
