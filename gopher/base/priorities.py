"""The priorities of jobs: the only place where they are listed.

To add one is to add a row here. Scripts are given the same tables (see `gopher.queue.facts`). A worker of an earlier
version never asks for a priority that it does not know: deploy workers before whatever submits such jobs.
"""

from typing import NamedTuple


class Priority(NamedTuple):
    """A priority, and how many turns it has in a cycle of a worker that is not told otherwise."""

    name: str
    turns: int

    @property
    def letter(self) -> str:
        """How it is written where the order of many turns is told. No two have the same."""
        return self.name[0]


#: From the most urgent down.
_TABLE = (
    Priority("high", 5),
    Priority("normal", 3),
    Priority("low", 1),
)

#: The names, from the most urgent down; the order of strict priority.
PRIORITIES = tuple(priority.name for priority in _TABLE)
#: That of a job that does not say.
DEFAULT_PRIORITY = "normal"
#: How many turns each has in one cycle of a worker.
TURNS = {priority.name: priority.turns for priority in _TABLE}
LETTERS = {priority.name: priority.letter for priority in _TABLE}
#: The letters, from the most urgent down.
STRICT_ORDER = "".join(LETTERS.values())
