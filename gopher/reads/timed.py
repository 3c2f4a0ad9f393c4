"""The places of jobs that wait for a time, by when they came there, so that the future does not come first.

Their sorted sets are in the order of due times, and those who came last may be anywhere in it. So all are read and
sorted, up to a number at either end of a set. What is between the ends of a very large one comes after all else.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gopher.base.salvage import order, text
from gopher.base.states import BETWEEN_ATTEMPTS
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.round_trips import ask

from .criteria import created
from .scan import CHUNK, Entry, Position, read_times, seek

#: Maximum number of jobs that are sorted: of all places together, but at least this many at each end of each.
SORTED, _AT_LEAST = 10_000, 20
#: What positions of the jobs between the ends are moved by, so that they are older than all others.
_BEHIND = 2**54

Place = tuple[QueueKeys, str]


class Sorted(NamedTuple):
    """The positions of the jobs of a place that are sorted, newest first; and how many are at each end of the set if
    there are others between them, otherwise 0."""

    positions: list[Position]
    end: int


def timed_positions(server: Server, places: Sequence[Place]) -> dict[Place, Sorted]:
    """Return what is sorted of each place, of those that have jobs."""
    most = max(SORTED // 2 // max(len(places), 1), _AT_LEAST)
    keys = [keys.prefix + place for keys, place in places]
    lasts = ask(server.client, [("ZREVRANGE", key, 0, most - 1) for key in keys])
    large = [key for key, last in zip(keys, lasts, strict=True) if len(last) == most]
    firsts = dict(zip(large, ask(server.client, [("ZRANGE", key, 0, most - 1) for key in large]), strict=True))
    found: dict[Place, Sorted] = {}
    for place, key, last in zip(places, keys, lasts, strict=True):
        ids = list(dict.fromkeys(map(text, (*last, *firsts.get(key, ())))))
        if ids:
            found[place] = Sorted(_sorted(server, place, ids), most if len(ids) == 2 * most else 0)
    return found


def _sorted(server: Server, place: Place, ids: Sequence[str]) -> list[Position]:
    times: list[int | None] = [created(job_id) for job_id in ids]
    if place[1] in BETWEEN_ATTEMPTS:
        times = read_times(server, place[0], ids, "started", "since")
    found = (Position(time, job_id) for time, job_id in zip(times, ids, strict=True) if time is not None)
    return sorted(found, reverse=True)


def timed_entries(server: Server, place: Place, known: Sorted, after: Position | None) -> Iterator[Entry]:
    """Yield the jobs of a place that are sorted, then those between the ends of its set, those due latest first."""
    keys, name = place
    for position in known.positions:
        if after is None or position < after:
            yield Entry(position, position.id, keys.queue, name)
    if not known.end:
        return
    client, key = server.client, keys.prefix + name
    ends = {position.id for position in known.positions}
    due = Position(after.time + _BEHIND, after.id) if after is not None and after.time < 0 else None
    start, rows = known.end if due is None else seek(client, key, due), [b""]
    while rows:
        rows = client.zrevrange(key, start, start + CHUNK - 1, withscores=True)
        for member, score in rows:
            due = Position(order(score), text(member))
            if due.id not in ends:
                yield Entry(Position(due.time - _BEHIND, due.id), due.id, keys.queue, name)
        start = seek(client, key, due) if due else 0
