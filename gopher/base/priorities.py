"""The priorities of jobs. This is the only list of them.

To add one, add a row here. Scripts get the same tables (see `gopher.queue.facts`). A worker of an earlier version never
fetches a priority that it does not know: deploy workers before clients that use a new one.
"""

from typing import NamedTuple


class Priority(NamedTuple):
    """A priority, and its default number of turns in a worker's cycle."""

    name: str
    turns: int

    @property
    def letter(self) -> str:
        """Its abbreviation in the order of turns that a worker sends, unique among the priorities."""
        return self.name[0]


#: From the most urgent down.
_TABLE = (
    Priority("high", 5),
    Priority("normal", 3),
    Priority("low", 1),
)

#: The names, from the most urgent down; the order of strict priority.
PRIORITIES = tuple(priority.name for priority in _TABLE)
#: The priority of a job for which none is given.
DEFAULT_PRIORITY = "normal"
#: Default number of turns of each in a worker's cycle.
TURNS = {priority.name: priority.turns for priority in _TABLE}
LETTERS = {priority.name: priority.letter for priority in _TABLE}
#: The letters, from the most urgent down.
STRICT_ORDER = "".join(LETTERS.values())
