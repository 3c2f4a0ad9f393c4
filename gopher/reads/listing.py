"""Lists jobs page by page, newest first, from all places of jobs."""

import heapq
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import NO_NAME, UNREADABLE, Salvage, order, text
from gopher.base.states import DEAD, FINISHED, IN_SORTED_SETS, QUEUED, RUNNING, State
from gopher.errors import InvalidJob
from gopher.jobs.filters import MAX_LIMIT, DeadFilter, DeadListing, JobFilter
from gopher.jobs.models import Page
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask, ask_groups

from .groups import Groups, matches
from .jobs import Inspector
from .scan import Entry, Position, held_entries, look_into, next_entries, pending_entries, sorted_entries

#: Maximum number of entries scanned per page, which may have fewer jobs than requested, and still a next page.
MAX_SCANNED = 2000
#: Records read per round trip.
_BLOCK = 100
#: Maximum number of lists whose last ids are in a cursor: it has to fit into a URL.
_CURSOR_LISTS = 10
#: How many ids of each list: the very last one may be cancelled between two pages.
_CURSOR_IDS = 3

#: The states of the jobs in each place. A list also contains ids of jobs that were cancelled meanwhile.
_STATES: dict[str, frozenset[str]] = {
    QueueKeys.next.head: QUEUED,
    QueueKeys.pending.head: QUEUED,
    # Throttled jobs: a list per bucket and priority.
    QueueKeys.parked.head: QUEUED,
    # Jobs that a worker has fetched and not started are still pending.
    QueueKeys.processing.head: RUNNING | QUEUED,
    **{state: frozenset({state}) for state in IN_SORTED_SETS},
    # Failure groups of dead letters: read instead of `failed` if filters apply.
    QueueKeys.group.head: DEAD,
    QueueKeys.finished.head: FINISHED,
}
_KNOWN = frozenset(State)
#: Places that are lists in waiting order.
_LISTS = (QueueKeys.pending.head, QueueKeys.parked.head)
#: Maximum number of groups that are merged; if more match a filter, all dead letters are read.
MAX_MERGED = 50
#: Maximum number of buckets that are read: there may be one per tenant.
_BUCKETS = 200
_ERROR_TYPE = msgspec.json.Decoder(type=dict[str, Any])


class _Names(NamedTuple):
    """The names of a queue's lists."""

    buckets: list[str]
    workers: list[str]


#: The places that are sorted sets.
_SORTED = (*IN_SORTED_SETS, QueueKeys.finished.head)
#: Newer than any job, for places whose newest entry is unknown before reading.
_NEWEST = Position(2**63, "")


class Cursor(msgspec.Struct, array_like=True):
    """Where a page ended: a position for all places, and the last ids read from lists, which may be out of order."""

    time: int
    id: str
    lists: dict[str, list[str]]

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Parse the result of `text()`. Raises InvalidJob."""
        try:
            return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except UNREADABLE:
            raise InvalidJob("is not a cursor: use the next_cursor of the previous page", "/cursor") from None

    def text(self) -> str:
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


class Listing:
    """Reads pages of jobs. Each state is sorted by its own time: waiting since, due, started, ended."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector
        self._groups = Groups(server)

    def jobs(self, asked: JobFilter) -> Page:
        """Return a page of jobs.

        Jobs may move between two pages: one that does is seen once at least if it stays older than the
        cursor. Raises InvalidJob, naming /limit or /cursor.
        """
        return self._page(asked.status, DeadFilter(asked.job_type, queue=asked.queue), asked.limit, asked.cursor)

    def dead_letters(self, asked: DeadListing) -> Page:
        """Return a page of dead letters."""
        return self._page(State.FAILED, asked, asked.limit, asked.cursor)

    def _page(self, status: str | None, which: DeadFilter, limit: int, cursor: str | None) -> Page:
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidJob(f"is {limit}: must be from 1 to {MAX_LIMIT}", "/limit")
        start = Cursor.read(cursor) if cursor else None
        with explained():
            names = self._server.queues() if which.queue is None else [which.queue]
            entries = self._merged(names, status, which, start)
            chosen, end = _choose(entries, partial(self._fits, status=status, which=which), limit, start)
        views = self._inspector.views((entry.queue, entry.id) for entry in chosen)
        # A job may have moved between the two reads.
        jobs = [view for view in views if status is None or view.status in (status, NO_NAME)]
        return Page(jobs, end.text() if end else None)

    def _merged(
        self, queues: Sequence[str], status: str | None, which: DeadFilter, start: Cursor | None
    ) -> Iterator[Entry]:
        """Yield all entries of a status's places, newest first."""
        every = self._filled([self._server.keys.for_queue(name) for name in queues])
        places = [(keys, place) for keys in every for place in self._places(keys, status, which, every[keys])]
        heads = self._heads(places)
        after = Position(start.time, start.id) if start else None
        streams = [
            (head if after is None else min(head, after), partial(self._stream, *where, start))
            for where, head in zip(places, heads, strict=True)
            if head is not None
        ]
        return _newest_first(streams)

    def _filled(self, every: Sequence[QueueKeys]) -> dict[QueueKeys, "_Names"]:
        """Return the nonempty queues, with the names of their lists."""
        client = self._server.client
        counts = ask(client, [("EXISTS", *_places_with_fixed_names(keys)) for keys in every])
        filled = [keys for keys, count in zip(every, counts, strict=True) if count]
        found = ask_groups(
            client,
            [
                [
                    ("ZRANGE", keys.throttled, 0, _BUCKETS - 1),
                    ("ZRANGE", keys.workers, 0, -1),
                    ("ZRANGE", keys.fenced, 0, -1),
                ]
                for keys in filled
            ],
        )
        return {
            keys: _Names(_decoded(buckets), _decoded([*live, *fenced]))
            for keys, (buckets, live, fenced) in zip(filled, found, strict=True)
        }

    def _heads(self, places: Sequence[tuple[QueueKeys, str]]) -> list[Position | None]:
        """Return for each place an upper bound of its positions, None if it is empty."""
        client = self._server.client
        replies = ask(client, [_of_head(*where) for where in places])
        ids = {at: text(reply) for at, reply in enumerate(replies) if isinstance(reply, bytes)}
        times = ask(client, [("HGET", places[at][0].job(job_id), "since") for at, job_id in ids.items()])
        of_lists = {at: _position_of(job_id, since) for (at, job_id), since in zip(ids.items(), times, strict=True)}
        return [of_lists[at] if at in of_lists else _head(reply) if reply else None for at, reply in enumerate(replies)]

    def _places(self, keys: QueueKeys, status: str | None, which: DeadFilter, names: "_Names") -> Iterator[str]:
        for place, states in _STATES.items():
            if (status is not None and status not in states) or place == QueueKeys.group.head:
                continue
            if place in DEAD:
                yield from dead_places(self._groups, keys.queue, which)
            elif place == QueueKeys.pending.head:
                yield from (f"{place}{priority}" for priority in PRIORITIES)
            elif place == QueueKeys.parked.head:
                yield from (f"{place}{bucket}:{priority}" for bucket in names.buckets for priority in PRIORITIES)
            elif place == QueueKeys.processing.head:
                yield from (f"{place}{worker}" for worker in names.workers)
            else:
                yield place

    def _stream(self, keys: QueueKeys, place: str, start: Cursor | None) -> Iterator[Entry]:
        server = self._server
        after = Position(start.time, start.id) if start else None
        if place.startswith(_LISTS):
            passed = start.lists.get(f"{keys.queue}:{place}", []) if start else []
            return pending_entries(server, keys, place, after, passed)
        if place.startswith(QueueKeys.processing.head):
            return held_entries(server, keys, place, after)
        if place == QueueKeys.next.head:
            return next_entries(server, keys, after, list(chain(*start.lists.values())) if start else [])
        return sorted_entries(server, keys, place, after)

    def _fits(self, entries: Sequence[Entry], *, status: str | None, which: DeadFilter) -> list[bool]:
        fields = ["state", "type", *(["error"] if which.error is not None else [])]
        records = self._read(entries, fields)
        return [
            (state is not None or kind is not None)
            and _stands(entry, state, status)
            and matches(which, job_type=text(kind or b""), error=error_class(reason[0]) if reason else None)
            for entry, (state, kind, *reason) in zip(entries, records, strict=True)
        ]

    def _read(self, entries: Sequence[Entry], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Return fields of the records of entries, with one call per queue."""
        by_queue: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            by_queue.setdefault(entry.queue, []).append(index)
        wanted = [
            (self._server.keys.for_queue(queue), [entries[index].id for index in places])
            for queue, places in by_queue.items()
        ]
        found: dict[int, list[bytes | None]] = {}
        for places, records in zip(by_queue.values(), look_into(self._server, wanted, fields), strict=True):
            found |= zip(places, records, strict=True)
        return [found[index] for index in range(len(entries))]


def _stands(entry: Entry, state: bytes | None, status: str | None) -> bool:
    """Return whether a job's state matches its place and the requested status.

    For a job with a corrupt state, only its place counts.
    """
    name = text(state or b"")
    return name not in _KNOWN or (name in _states_at(entry.place) and status in (None, name))


def _states_at(place: str) -> frozenset[str]:
    """Return the states of the jobs in a place, such as `pending:high`."""
    head, colon, _ = place.partition(":")
    return _STATES[head + colon]


def _decoded(names: Sequence[bytes]) -> list[str]:
    return [text(name) for name in names]


def _places_with_fixed_names(keys: QueueKeys) -> list[str]:
    """Return the keys of which at least one exists if there are jobs to list."""
    pending = [keys.pending(priority) for priority in PRIORITIES]
    sorted_sets = [keys.prefix + place for place in _SORTED]
    return [keys.next, *pending, *sorted_sets, keys.throttled, keys.workers, keys.fenced]


def _of_head(keys: QueueKeys, place: str) -> Words:
    key = keys.prefix + place
    if place.startswith(QueueKeys.processing.head):
        return ("LLEN", key)
    if place in _SORTED or place.startswith(QueueKeys.group.head):
        return ("ZREVRANGE", key, 0, 0, "WITHSCORES")
    return ("LINDEX", key, 0)


def _head(reply: Any) -> Position:
    """Return the position of the head of a sorted set. The order of a worker's jobs is known only after reading."""
    return Position(order(reply[1]), text(reply[0])) if isinstance(reply, list) else _NEWEST


def _position_of(job_id: str, since: bytes | None) -> Position:
    """Return a job's position in the order of pages. After one whose record is missing or corrupt there may be newer
    ones."""
    time = order(since, -1)
    return _NEWEST if time < 0 else Position(time, job_id)


class _Newest:
    """An entry of an open stream; the newest one compares least, so that it is the top of a heap."""

    __slots__ = ("entry", "rest")

    def __init__(self, entry: Entry, rest: Iterator[Entry]) -> None:
        self.entry = entry
        self.rest = rest

    def __lt__(self, other: "_Newest") -> bool:
        return self.entry.position > other.entry.position


def _newest_first(streams: Iterable[tuple[Position, Callable[[], Iterator[Entry]]]]) -> Iterator[Entry]:
    """Merge streams, newest entry first. Each stream has an upper bound of its positions and is opened only when it may
    be next, so that a page of a few jobs reads only a few of a thousand queues."""
    closed = sorted(streams, key=lambda stream: stream[0])
    opened: list[_Newest] = []
    while closed or opened:
        while closed and (not opened or closed[-1][0] >= opened[0].entry.position):
            rest = closed.pop()[1]()
            for entry in islice(rest, 1):
                heapq.heappush(opened, _Newest(entry, rest))
        if opened:
            newest = heapq.heappop(opened)
            yield newest.entry
            for entry in islice(newest.rest, 1):
                heapq.heappush(opened, _Newest(entry, newest.rest))


def dead_places(groups: Groups, queue: str, which: DeadFilter) -> list[str]:
    """Return the places of matching dead letters, which may contain others, too, if very many groups match."""
    fitting = None if which.is_whole_queue else groups.fitting(queue, which)
    if fitting is None or len(fitting) > MAX_MERGED:
        return [State.FAILED]
    return [f"{QueueKeys.group.head}{group}" for group in fitting]


def error_class(error: bytes | None) -> str | None:
    """Return the error class in a record, None if there is none."""
    return Salvage().read("error", lambda: _ERROR_TYPE.decode(error).get("type"), None) if error else None


def _choose(
    entries: Iterator[Entry], fits: Callable[[Sequence[Entry]], list[bool]], limit: int, start: Cursor | None
) -> tuple[Iterable[Entry], Cursor | None]:
    """Return up to `limit` matching entries, and the start of the next page, None if there is none."""
    chosen: dict[str, Entry] = {}
    lists = dict(start.lists) if start else {}
    scanned = 0
    size = limit + 1
    while block := list(islice(entries, min(size, _BLOCK))):
        # Few at first, since each may be in another queue.
        size *= 2
        for index, (entry, fitting) in enumerate(zip(block, fits(block), strict=True)):
            scanned += 1
            if entry.place == QueueKeys.next.head or entry.place.startswith(_LISTS):
                # Moved to the end, since a cursor keeps the last ones.
                passed = lists.pop(name := f"{entry.queue}:{entry.place}", [])
                lists[name] = [entry.id, *passed][:_CURSOR_IDS]
            if fitting:
                # A job that moved during the read may occur twice.
                chosen.setdefault(entry.id, entry)
            if len(chosen) == limit or scanned == MAX_SCANNED:
                more = index + 1 < len(block) or next(entries, None) is not None
                return chosen.values(), _cursor(entry, lists) if more else None
    return chosen.values(), None


def _cursor(entry: Entry, lists: dict[str, list[str]]) -> Cursor:
    return Cursor(entry.position.time, entry.position.id, dict(list(lists.items())[-_CURSOR_LISTS:]))
