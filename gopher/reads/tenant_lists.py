"""Opens the lists of many tenants' waiting jobs together: each by itself would take round trips of its own."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

from gopher.base.salvage import text
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.round_trips import ask

from .scan import CHUNK, NEWEST, Entry, Position, entries_from, entries_of, index_after, read_times, without_shown

#: Entries that are read of each list at least, and of those that are wanted: the newest may be in some of the lists.
_LEAST, _SPARE = 2, 2
#: Records that are read per call.
_RECORDS = 1000


class OpenedList(NamedTuple):
    """The position of the first entry of a list, and its entries."""

    head: Position
    entries: Iterator[Entry]


def open_lists(
    server: Server,
    keys: QueueKeys,
    places: Sequence[str],
    after: Position | None,
    passed: Mapping[str, Sequence[str]],
    wanted: int,
) -> dict[str, OpenedList]:
    """Return the lists of a queue with entries behind `after`.

    `passed`: by list, the last ids that were read of it, latest first. `wanted`: how many entries of all lists are
    probably looked at.
    """
    starts = _starts(server, keys, places, after, passed) if after else [(0, True)] * len(places)
    many = _LEAST + _SPARE * wanted // max(len(places), 1)
    words = [
        ("LRANGE", keys.prefix + place, start, start + many - 1)
        for place, (start, _) in zip(places, starts, strict=True)
    ]
    found = ask(server.client, words)
    ids = [[text(each) for each in some] for some in found]
    times = iter(_times(server, keys, list(chain(*ids))))
    opened: dict[str, OpenedList] = {}
    for place, (start, is_exact), some in zip(places, starts, ids, strict=True):
        known = entries_of(keys, place, some, list(islice(times, len(some))), after)
        has_more = len(some) == many
        if known or has_more:
            head, last = (known[0].position, known[-1].position) if known else (after or NEWEST, after)
            rest = entries_from(server, keys, place, last, start + many, CHUNK)
            entries = chain(known, rest if has_more else ())
            shown = entries if is_exact or after is None else without_shown(entries, after)
            opened[place] = OpenedList(head, shown)
    return opened


def _starts(
    server: Server, keys: QueueKeys, places: Sequence[str], after: Position, passed: Mapping[str, Sequence[str]]
) -> list[tuple[int, bool]]:
    """Return for each list what `index_after` does."""
    queue = server.queue(keys.queue)
    others = [place for place in places if place not in passed]
    indexes = server.run_each([queue.bisect(place, after.time) for place in others])
    found = {place: (index, False) for place, index in zip(others, indexes, strict=True)}
    found |= {place: index_after(server, keys, place, after, passed[place]) for place in places if place in passed}
    return [found[place] for place in places]


def _times(server: Server, keys: QueueKeys, ids: Sequence[str]) -> list[int | None]:
    blocks = (ids[at : at + _RECORDS] for at in range(0, len(ids), _RECORDS))
    return [time for block in blocks for time in read_times(server, keys, block, "since")]
