"""The tables of `gopher.base` and the names of keys, as given to the scripts.

A script just mentions what it needs:

* Tables (ENDED, PRIORITIES, ...) are definitions like those of the library (see `linker`).
* Names (STATE.pending, COUNTER.enqueued, KEY.pending, EVERY.letter) are replaced by their values, so they cost nothing
  at run time, and a misspelt one is an error when the script is built.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from gopher.base import counters, latencies, priorities, states
from gopher.base.patterns import regex

from .keys import QUEUE_KEYS

#: The states whose jobs are in a sorted set of the state's name.
_SORTED = tuple(state for state in states.State if state in states.DEAD or state in states.TIMED)

#: The other sorted sets of due times.
_DUE = ("throttled", "ticks", "redrives", "cancellations", "outboxes", "batch_work")

_Value = str | float | Sequence["_Value"] | Mapping[str, "_Value"] | frozenset[str]


def _keys(names: Iterable[str]) -> str:
    return ", ".join(f"P .. '{name}'" for name in names)


#: The tables: sets as `{ name = true }`.
TABLES: dict[str, _Value] = {
    "ENDED": states.ENDED,
    "FINISHED": states.FINISHED,
    "DEAD": states.DEAD,
    "SUCCEEDED": states.SUCCEEDED,
    "WAITING": states.WAITING,
    "UNSTARTED": states.UNSTARTED,
    "RUNNING": states.RUNNING,
    "TIMED": states.TIMED,
    "IS_TIMED": frozenset(states.TIMED),
    "SORTED": _SORTED,
    "PRIORITIES": priorities.PRIORITIES,
    "LETTERS": priorities.LETTERS,
    "PRIORITY_OF": {letter: name for name, letter in priorities.LETTERS.items()},
    "BY_TYPE": frozenset(counters.BY_TYPE),
    "HISTOGRAMS": tuple(histogram.name for histogram in latencies.HISTOGRAMS),
    "BOUNDS": (*latencies.BOUNDS, float("inf")),
    "ADDED": latencies.ADDED,
}

#: The values of names, by the word before the dot.
NAMES: dict[str, dict[str, str]] = {
    "STATE": {state.value: f"'{state}'" for state in states.State},
    "COUNTER": {counter.name: f"'{counter.field}'" for counter in counters.COUNTERS},
    "KEY": {name: f"'{drawn.head}'" for name, drawn in QUEUE_KEYS.items()},
    # From the most urgent priority down: letters, and the keys of their lists as arguments of a command.
    "EVERY": {
        "letter": f"'{priorities.STRICT_ORDER}'",
        # With what exists while jobs of tenants wait.
        "pending": _keys(
            (*(QUEUE_KEYS["pending"].head + name for name in priorities.PRIORITIES), QUEUE_KEYS["tenant_ids"].head)
        ),
        # The sorted sets of states, as arguments as well.
        "timed": _keys(states.TIMED),
        # All sorted sets of due times.
        "due": _keys([*(QUEUE_KEYS[name].head for name in _DUE), *states.TIMED]),
        "dead": _keys(state for state in _SORTED if state in states.DEAD),
    },
}

#: Whole words. What is before them is asked last: so Python finds the few candidates by their first letters.
_WORDS = (rf"{word}(?<!\w{word})" for word in NAMES)
_NAME = regex(rf"({'|'.join(_WORDS)})\.(\w+)")


def with_names(script: str, source: str) -> str:
    """Return a script's text with names replaced by their values. Raises ValueError for an unknown one."""

    def stands_for(found: re.Match[str]) -> str:
        known = NAMES[found[1]]
        if found[2] not in known:
            raise ValueError(f"{script}.lua: there is no {found[0]}: expected one of {', '.join(known)}")
        return known[found[2]]

    return _NAME.sub(stands_for, source)


def definitions() -> str:
    """Return the lines that define the tables."""
    return "\n".join(f"local {name} = {_lua(value)}" for name, value in TABLES.items())


def _lua(value: _Value) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, int | float):
        return "math.huge" if value == float("inf") else f"{value}"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {_lua(each)}' for name, each in value.items())} }}"
    if isinstance(value, frozenset):
        return f"{{ {', '.join(f'{name} = true' for name in sorted(value))} }}"
    return f"{{ {', '.join(map(_lua, value))} }}"
