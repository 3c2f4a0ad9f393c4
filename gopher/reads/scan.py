"""Reads places of jobs, newest first: lists and sorted sets become streams of entries.

Each stream reads a chunk at a time and continues by position, so that its cost depends only on how much is read, not
on how many jobs there are.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, dropwhile, product
from typing import Any, NamedTuple

from gopher.base.salvage import Salvage, order, text
from gopher.jobs.job import created_ms
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.round_trips import ask

#: Entries per read after the `first` one, unless `then` is another number: a page of a few jobs needs no more of them.
CHUNK = 200
#: Entries at either end of a list in which an id is searched before the list is bisected.
_NEAR_ENDS = 2000
#: Records that are read per call.
_RECORDS = 1000
#: Maximum number of jobs that a worker holds.
_HELD = 2000


class Position(NamedTuple):
    """A point in time (Unix ms), common to all places, and the id as a tie-breaker."""

    time: int
    id: str


#: Newer than any job, for places whose newest entry is unknown before reading.
NEWEST = Position(2**63, "")


class Entry(NamedTuple):
    """A job in a place. `position` never increases along a stream, even if a list is out of order."""

    position: Position
    id: str
    queue: str
    place: str


def sorted_entries(
    server: Server, keys: QueueKeys, place: str, after: Position | None, first: int = CHUNK, then: int = CHUNK
) -> Iterator[Entry]:
    """Yield the entries of a sorted set (failed, its groups, finished), highest score first."""
    client, key = server.client, keys.prefix + place
    size = first
    while True:
        start = seek(client, key, after) if after else 0
        rows = client.zrevrange(key, start, start + size - 1, withscores=True)
        for member, score in rows:
            after = Position(order(score), text(member))
            yield Entry(after, after.id, keys.queue, place)
        if len(rows) < size:
            return
        size = then


def pending_entries(
    server: Server,
    keys: QueueKeys,
    place: str,
    after: Position | None,
    passed: Sequence[str],
    first: int = CHUNK,
    then: int = CHUNK,
) -> Iterator[Entry]:
    """Return the entries of a pending list from its left end, or after `after`.

    `passed` are the last ids that were read from this list, latest first: a promoted job may be older than the next
    one, a rescued job newer than the previous one, so ids are more reliable than times.
    """
    start, is_exact = index_after(server, keys, place, after, passed) if after else (0, True)
    entries = entries_from(server, keys, place, after, start, first, then)
    return entries if is_exact or after is None else without_shown(entries, after)


def without_shown(entries: Iterator[Entry], after: Position) -> Iterator[Entry]:
    """Leave out jobs of the same millisecond that earlier pages have shown, if no ids are known of their list."""
    return dropwhile(lambda entry: entry.position >= after, entries)


def entries_from(
    server: Server, keys: QueueKeys, place: str, after: Position | None, start: int, size: int, then: int = CHUNK
) -> Iterator[Entry]:
    """Yield the entries of a pending list from an index on."""
    while ids := _decoded(server.client.lrange(keys.prefix + place, start, start + size - 1)):
        for entry in entries_of(keys, place, ids, read_times(server, keys, ids, "since"), after):
            after = entry.position
            yield entry
        start, size = start + size, then


def entries_of(
    keys: QueueKeys, place: str, ids: Sequence[str], times: Sequence[int | None], after: Position | None
) -> list[Entry]:
    """Return the entries of some ids of a list, from the left, with the times since when they wait."""
    found: list[Entry] = []
    for job_id, since in zip(ids, times, strict=True):
        if since is not None:
            own = Position(since, job_id)
            after = min(after, own) if after else own
            found.append(Entry(after, job_id, keys.queue, place))
    return found


def next_entries(server: Server, keys: QueueKeys, after: Position | None, passed: Collection[str]) -> Iterator[Entry]:
    """Yield the head of the queue. It came from a list, where jobs of one millisecond are not ordered by id: so it is
    new to a page unless its id is in `passed`."""
    ids = _decoded(server.client.lrange(keys.next, 0, 0))
    for since, job_id in zip(read_times(server, keys, ids, "since"), ids, strict=True):
        if since is not None and (after is None or (since <= after.time and job_id not in passed)):
            own = Position(since, job_id)
            yield Entry(min(after, own) if after else own, job_id, keys.queue, QueueKeys.next.head)


def held_entries(server: Server, keys: QueueKeys, place: str, after: Position | None) -> Iterator[Entry]:
    """Yield the jobs of a worker, last started first."""
    ids = _decoded(server.client.lrange(keys.prefix + place, 0, _HELD - 1))
    found = zip(read_times(server, keys, ids, "started", "since"), ids, strict=True)
    positions = sorted((Position(time, job_id) for time, job_id in found if time is not None), reverse=True)
    for position in positions:
        if after is None or position < after:
            yield Entry(position, position.id, keys.queue, place)


def seek(client: Any, key: str, after: Position, *, oldest_first: bool = False) -> int:
    """Return the rank of the entry after `after` in a sorted set, which need not contain `after` any more.

    Thousands may have the same score (all jobs due at midnight): among them the id is found by bisection.
    """
    if oldest_first:
        low, high = client.zcount(key, "-inf", f"({after.time}"), client.zcount(key, "-inf", after.time)
    else:
        low, high = client.zcount(key, f"({after.time}", "+inf"), client.zcount(key, after.time, "+inf")
    look = client.zrange if oldest_first else client.zrevrange
    while low < high:
        middle = (low + high) // 2
        found = look(key, middle, middle)
        passed = bool(found) and (text(found[0]) <= after.id if oldest_first else text(found[0]) >= after.id)
        low, high = (middle + 1, high) if passed else (low, middle)
    return int(low)


def index_after(
    server: Server, keys: QueueKeys, place: str, after: Position, passed: Sequence[str]
) -> tuple[int, bool]:
    """Return the index of the entry after `after` in a pending list, and whether it is exact: if not, there may be
    jobs of the same millisecond before that entry."""
    key, queue = keys.prefix + place, server.queue(keys.queue)
    for job_id, rank in product(passed, (1, -1)):
        index = server.client.lpos(key, job_id, rank=rank, maxlen=_NEAR_ENDS)
        if index is not None:
            return int(index) + 1, True
    first: int = server.run(queue.bisect(place, after.time))
    equals = _decoded(server.client.lrange(key, first, first + _NEAR_ENDS - 1)) if passed else []
    known = next((job_id for job_id in passed if job_id in equals), None)
    return (first, False) if known is None else (first + equals.index(known) + 1, True)


def read_times(server: Server, keys: QueueKeys, ids: Sequence[str], *fields: str) -> list[int | None]:
    """Return the first existing one of `fields` of each record, in Unix ms; None if there is none."""
    return read_times_together(server, [(keys, ids)], *fields)[0]


def read_times_together(
    server: Server, wanted: Sequence[tuple[QueueKeys, Sequence[str]]], *fields: str
) -> list[list[int | None]]:
    """Like `read_times`, for several queues together."""
    blocks = [(keys, ids[at : at + _RECORDS]) for keys, ids in wanted for at in range(0, len(ids), _RECORDS)]
    records = chain(*look_into(server, blocks, [*fields, "state"]))
    return [[_time(job_id, *next(records)) for job_id in ids] for _, ids in wanted]


def _time(job_id: str, *values: bytes | None) -> int | None:
    """Return the first of a record's times; that of the id if it is implausible, so that the job is still listed."""
    if all(value is None for value in values):
        return None
    *times, _state = values
    made = Salvage().read("id", lambda: created_ms(job_id), 0)
    found = order(next(filter(None, times), None), made)
    # Times before 1970 are implausible.
    return made if found < 0 else found


def look_into(
    server: Server, wanted: Sequence[tuple[QueueKeys, Sequence[str]]], fields: Sequence[str]
) -> list[list[list[bytes | None]]]:
    """Return fields of records of several queues: all None if there is no record, "" if its key has another type."""
    found: list[list[list[bytes | None]]] = server.run_each(
        [server.queue(keys.queue).read_fields(ids, fields) for keys, ids in wanted]
    )
    missing = [
        (records, index, keys.job(ids[index]))
        for (keys, ids), records in zip(wanted, found, strict=True)
        for index, values in enumerate(records)
        if all(value is None for value in values)
    ]
    kinds = ask(server.client, [("TYPE", key) for _, _, key in missing])
    for (records, index, _), kind in zip(missing, kinds, strict=True):
        if kind not in (b"none", b"hash"):
            records[index] = [b""] * len(fields)
    return found


def _decoded(ids: Sequence[bytes]) -> list[str]:
    return [text(each) for each in ids]
