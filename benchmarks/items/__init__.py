"""What is measured. Each module has `ITEMS`: its figures' names with a unit, and who takes part.

`measure(contender, seconds)` makes one measurement and returns a value for each figure.
"""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.contenders import Contender


class Figure(NamedTuple):
    """One column of the table. `better` is `more` or `less`."""

    name: str
    unit: str
    better: str


class Item(NamedTuple):
    """One kind of work."""

    name: str
    figures: tuple[Figure, ...]
    takes_part: Callable[[Contender], bool]
    measure: Callable[[Contender, float], dict[str, float]]
    #: Once a run, when it is not the machine's mood that counts.
    once: bool = False


def everybody(contender: Contender) -> bool:
    return True


def gopher_only(contender: Contender) -> bool:
    return contender.name == "Gopher"


def queues(contender: Contender) -> bool:
    """Those that are queues: not the server's bare limit."""
    return not contender.name.startswith("limit")
