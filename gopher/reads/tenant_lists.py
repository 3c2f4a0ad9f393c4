"""Opens the lists of many tenants' waiting jobs together: each by itself would take round trips of its own."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

from gopher.base.salvage import text
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.round_trips import ask

from .scan import (
    CHUNK,
    NEWEST,
    Entry,
    Position,
    entries_from,
    entries_of,
    index_after,
    read_times_together,
    without_shown,
)
from .timed import Place

#: Entries that are read of each list at least, and of those that are wanted: the newest may be in some of the lists.
_LEAST, _SPARE = 2, 2


class OpenedList(NamedTuple):
    """An upper bound of the positions in a list, and its entries."""

    head: Position
    entries: Iterator[Entry]


def open_lists(
    server: Server,
    places: Sequence[Place],
    after: Position | None,
    passed: Mapping[Place, Sequence[str]],
    wanted: int,
) -> list[OpenedList]:
    """Return the lists with entries behind `after`. Those of a queue come one after the other in `places`.

    `passed`: by list, the last ids that were read of it, latest first. `wanted`: how many entries of all lists are
    probably looked at.
    """
    starts = _starts(server, places, after, passed) if after else [(0, True)] * len(places)
    many = _LEAST + _SPARE * wanted // max(len(places), 1)
    words = [
        ("LRANGE", keys.prefix + place, start, start + many - 1)
        for (keys, place), (start, _) in zip(places, starts, strict=True)
    ]
    ids = [[text(each) for each in found] for found in ask(server.client, words)]
    by_queue: dict[QueueKeys, list[str]] = {}
    for (keys, _), some in zip(places, ids, strict=True):
        by_queue.setdefault(keys, []).extend(some)
    times = chain(*read_times_together(server, list(by_queue.items()), "since"))
    opened: list[OpenedList] = []
    for (keys, place), (start, is_exact), some in zip(places, starts, ids, strict=True):
        known = entries_of(keys, place, some, list(islice(times, len(some))), after)
        has_more = len(some) == many
        if known or has_more:
            head, last = (known[0].position, known[-1].position) if known else (after or NEWEST, after)
            rest = entries_from(server, keys, place, last, start + many, CHUNK)
            entries = chain(known, rest if has_more else ())
            opened.append(OpenedList(head, entries if is_exact or after is None else without_shown(entries, after)))
    return opened


def _starts(
    server: Server, places: Sequence[Place], after: Position, passed: Mapping[Place, Sequence[str]]
) -> list[tuple[int, bool]]:
    """Return for each list what `index_after` does."""
    others = [place for place in places if place not in passed]
    indexes = server.run_each([server.queue(keys.queue).bisect(place, after.time) for keys, place in others])
    found = {place: (index, False) for place, index in zip(others, indexes, strict=True)}
    found |= {place: index_after(server, *place, after, ids) for place, ids in passed.items()}
    return [found[place] for place in places]
