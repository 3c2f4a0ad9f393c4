"""Lists jobs page by page, newest first, from all places of jobs."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice, takewhile
from typing import Any, NamedTuple

from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import NO_NAME, order, text
from gopher.base.states import DEAD, FINISHED, IN_SORTED_SETS, QUEUED, RUNNING, TIMED, State
from gopher.errors import InvalidJob
from gopher.jobs.filters import DeadFilter, DeadListing
from gopher.jobs.job import has_time
from gopher.jobs.lists import MAX_LIMIT, JobFilter
from gopher.jobs.models import Page
from gopher.queue.keys import QueueKeys
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask, ask_groups

from .criteria import Criteria, created
from .groups import Groups
from .jobs import Inspector
from .paging import LISTS, MAX_SCANNED, Chosen, Cursor, Fits, choose, choose_by_creation
from .scan import CHUNK, NEWEST, Entry, Position, held_entries, look_into, next_entries, pending_entries, sorted_entries
from .tenant_lists import open_lists
from .timed import Place, Sorted, timed_entries, timed_positions

#: Entries per read if most of them are likely to be skipped because of their ids.
_MANY = 1000

#: The states of the jobs in each place. A list also contains ids of jobs that were cancelled meanwhile.
_STATES: dict[str, frozenset[str]] = {
    QueueKeys.next.head: QUEUED,
    QueueKeys.pending.head: QUEUED,
    # Jobs of tenants: a list per priority and tenant.
    QueueKeys.pending_of.head: QUEUED,
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
#: Maximum number of groups that are merged; if more match a filter, all dead letters are read.
MAX_MERGED = 50
#: Maximum number of buckets, and of tenants of each priority, that are read.
_BUCKETS = 200


class _Names(NamedTuple):
    """The names of a queue's lists."""

    buckets: list[str]
    workers: list[str]
    #: <priority>:<tenant> of each.
    tenants: list[str]


#: The places that are sorted sets.
_SORTED = (*IN_SORTED_SETS, QueueKeys.finished.head)


class _Sizes(NamedTuple):
    """How many entries are read of a place at first, and then at once."""

    first: int
    then: int


class Listing:
    """Reads pages of jobs, by what changed last: waiting since, started, ended, scheduled; started before a retry."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector
        self._groups = Groups(server)

    def jobs(self, asked: JobFilter) -> Page:
        """Return a page of jobs.

        Jobs may move between two pages: one that does is seen once at least if it stays older than the
        cursor. Raises InvalidJob, naming /limit, /cursor or a time.
        """
        wanted = Criteria.of_jobs(asked, self._inspector.now)
        return self._page(wanted, asked.limit, asked.cursor, self._by_creation if asked.sort == "created" else choose)

    def dead_letters(self, asked: DeadListing) -> Page:
        """Return a page of dead letters."""
        return self._page(Criteria(State.FAILED, asked, tenant=asked.tenant), asked.limit, asked.cursor, choose)

    def _page(self, wanted: Criteria, limit: int, cursor: str | None, chosen_by: Callable[..., Chosen]) -> Page:
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidJob(f"is {limit}: must be from 1 to {MAX_LIMIT}", "/limit")
        start, queue, status = Cursor.read(cursor) if cursor else None, wanted.which.queue, wanted.status
        with explained():
            names = self._server.queues() if queue is None else [queue]
            if chosen_by != choose or wanted.has_ids:
                sizes = _Sizes(_MANY, _MANY)
            else:
                # One more than the page, to know whether another one follows.
                sizes = _Sizes(min(limit + 1, CHUNK), CHUNK)
            entries = self._merged(names, wanted, start, sizes)
            chosen, end = chosen_by(entries, partial(self._fits, wanted=wanted), limit, start)
        views = self._inspector.views((entry.queue, entry.id) for entry in chosen)
        # A job may have moved between the two reads.
        jobs = [view for view in views if status is None or view.status in (status, NO_NAME)]
        return Page(jobs, end.text() if end else None)

    def _by_creation(self, entries: Iterator[Entry], fits: Fits, limit: int, start: Cursor | None) -> Chosen:
        return choose_by_creation(entries, fits, limit, start, self._created)

    def _created(self, entries: Sequence[Entry]) -> dict[str, int]:
        """Return when jobs were created (Unix ms), by id: as their records say if their ids were chosen."""
        times = {entry.id: created(entry.id) for entry in entries}
        chosen = [entry for entry in entries if not has_time(entry.id)]
        for entry, (made,) in zip(chosen, self._read(chosen, ["created"]), strict=True):
            times[entry.id] = order(made)
        return times

    def _merged(
        self, queues: Sequence[str], wanted: Criteria, start: Cursor | None, sizes: "_Sizes"
    ) -> Iterator[Entry]:
        """Yield all entries of a status's places, newest first."""
        every = self._filled([self._server.keys.for_queue(name) for name in queues], wanted.tenant)
        places = [(keys, place) for keys in every for place in self._places(keys, wanted, every[keys])]
        of_tenants = self._of_tenants(every, wanted, start, sizes.first)
        timed = timed_positions(self._server, [place for place in places if place[1] in TIMED])
        heads = self._heads(places, timed)
        after = Position(start.time, start.id) if start else None
        streams = [
            (
                head if after is None else min(head, after),
                partial(self._recent, wanted.earliest, place, start, sizes, timed.get(place)),
            )
            for place, head in zip(places, heads, strict=True)
            if head is not None and (place in timed or head.time >= wanted.earliest)
        ]
        return _newest_first([*streams, *of_tenants])

    def _of_tenants(
        self, every: Mapping[QueueKeys, "_Names"], wanted: Criteria, start: Cursor | None, first: int
    ) -> Iterator[tuple[Position, Callable[[], Iterator[Entry]]]]:
        """Yield the streams of tenants' waiting jobs, if the list shows such."""
        if wanted.status not in (None, *_STATES[QueueKeys.pending_of.head]):
            return
        after = Position(start.time, start.id) if start else None
        many = MAX_SCANNED if wanted.is_selective else first
        places = [
            (keys, f"{QueueKeys.pending_of.head}{name}") for keys, names in every.items() for name in names.tenants
        ]
        passed = {place: ids for place in places if (ids := _passed(*place, start))}
        for head, entries in open_lists(self._server, places, after, passed, many):
            if head.time >= wanted.earliest:
                yield head, partial(_until, wanted.earliest, entries)

    def _filled(self, every: Sequence[QueueKeys], tenant: str | None) -> dict[QueueKeys, "_Names"]:
        """Return the nonempty queues, with the names of their lists; those of one tenant, if that is meant."""
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
                    ("SRANDMEMBER", keys.resting, _BUCKETS),
                    *(("LRANGE", keys.ring(priority), -_BUCKETS, -1) for priority in PRIORITIES),
                ]
                for keys in filled
            ],
        )
        own = [f"{priority}:{tenant}" for priority in PRIORITIES] if tenant else []
        return {
            keys: _Names(
                _decoded(buckets),
                _decoded([*live, *fenced]),
                own if tenant is not None else [*_decoded(resting), *_in_rings(rings)],
            )
            for keys, (buckets, live, fenced, resting, *rings) in zip(filled, found, strict=True)
        }

    def _heads(self, places: Sequence[Place], timed: Mapping[Place, Sorted]) -> list[Position | None]:
        """Return for each place an upper bound of its positions, None if it is empty."""
        client = self._server.client
        replies = ask(client, [_of_head(*place) for place in places])
        ids = {at: text(reply) for at, reply in enumerate(replies) if isinstance(reply, bytes)}
        times = ask(client, [("HGET", places[at][0].job(job_id), "since") for at, job_id in ids.items()])
        of_lists = {at: _position_of(job_id, since) for (at, job_id), since in zip(ids.items(), times, strict=True)}

        def head_of(at: int) -> Position | None:
            if at in of_lists:
                return of_lists[at]
            if places[at][1] in TIMED:
                return next(iter(timed[places[at]].positions), NEWEST) if places[at] in timed else None
            return _head(replies[at]) if replies[at] else None

        return [head_of(at) for at in range(len(places))]

    def _places(self, keys: QueueKeys, wanted: Criteria, names: "_Names") -> Iterator[str]:
        status, which = wanted.status, wanted.which
        for place, states in _STATES.items():
            if (status is not None and status not in states) or place == QueueKeys.group.head:
                continue
            if place in DEAD:
                yield from dead_places(self._groups, keys.queue, which)
            elif place == QueueKeys.pending.head:
                yield from (f"{place}{priority}" for priority in PRIORITIES)
            elif place == QueueKeys.pending_of.head:
                # They are opened together.
                continue
            elif place == QueueKeys.parked.head:
                yield from (f"{place}{bucket}:{priority}" for bucket in names.buckets for priority in PRIORITIES)
            elif place == QueueKeys.processing.head:
                yield from (f"{place}{worker}" for worker in names.workers)
            else:
                yield place

    def _recent(
        self, earliest: float, where: Place, start: Cursor | None, sizes: "_Sizes", known: Sorted | None
    ) -> Iterator[Entry]:
        """Yield the entries of a place until none can be recent enough."""
        entries = self._stream(where, start, sizes, known)
        # Those of a timed place that are not sorted come last, however recent they are.
        return entries if known is not None else _until(earliest, entries)

    def _stream(self, where: Place, start: Cursor | None, sizes: "_Sizes", known: Sorted | None) -> Iterator[Entry]:
        server, (keys, place) = self._server, where
        after = Position(start.time, start.id) if start else None
        if known is not None:
            return timed_entries(server, where, known, after)
        if place.startswith(LISTS):
            return pending_entries(server, keys, place, after, _passed(keys, place, start), *sizes)
        if place.startswith(QueueKeys.processing.head):
            return held_entries(server, keys, place, after)
        if place == QueueKeys.next.head:
            return next_entries(server, keys, after, list(chain(*start.lists.values())) if start else [])
        return sorted_entries(server, keys, place, after, *sizes)

    def _fits(self, entries: Sequence[Entry], wanted: Criteria) -> tuple[list[bool], int]:
        """Return which entries match, and how many of their records were read."""
        left = [entry for entry in entries if wanted.admits(entry.id)]
        read, records = len(left), self._read(left, wanted.fields)
        left = [
            entry
            for entry, (state, kind, made, *error) in zip(left, records, strict=True)
            if (state is not None or kind is not None)
            and _stands(entry, state, wanted.status)
            and wanted.means(kind, made, error)
        ]
        if wanted.texts:
            left = self._confirmed(left, wanted)
        fitting = set(left)
        return [entry in fitting for entry in entries], read

    def _confirmed(self, entries: Sequence[Entry], wanted: Criteria) -> list[Entry]:
        """Return those of which a text matches: the server finds the few whose records have to be read."""
        server = self._server
        by_queue: dict[str, list[Entry]] = {}
        for entry in entries:
            by_queue.setdefault(entry.queue, []).append(entry)
        calls = [
            server.queue(queue).find_texts([entry.id for entry in each], wanted.texts)
            for queue, each in by_queue.items()
        ]
        answers = chain(*server.run_each(calls))
        found = [entry for entry, is_found in zip(chain(*by_queue.values()), answers, strict=True) if is_found]
        records = self._read(found, wanted.searched)
        return [entry for entry, values in zip(found, records, strict=True) if wanted.confirms(values)]

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


def _passed(keys: QueueKeys, place: str, start: Cursor | None) -> list[str]:
    """Return the last ids that were read of a list before a page."""
    return start.lists.get(f"{keys.queue}:{place}", []) if start else []


def _until(earliest: float, entries: Iterator[Entry]) -> Iterator[Entry]:
    return takewhile(lambda entry: entry.position.time >= earliest, entries)


def _decoded(names: Sequence[bytes]) -> list[str]:
    return [text(name) for name in names]


def _in_rings(rings: Sequence[Sequence[bytes]]) -> Iterator[str]:
    for priority, ring in zip(PRIORITIES, rings, strict=True):
        yield from (f"{priority}:{tenant}" for tenant in _decoded(ring) if tenant)


def _places_with_fixed_names(keys: QueueKeys) -> list[str]:
    """Return the keys of which at least one exists if there are jobs to list."""
    pending = [keys.pending(priority) for priority in PRIORITIES]
    sorted_sets = [keys.prefix + place for place in _SORTED]
    return [keys.next, *pending, keys.tenant_ids, *sorted_sets, keys.throttled, keys.workers, keys.fenced]


def _of_head(keys: QueueKeys, place: str) -> Words:
    key = keys.prefix + place
    if place.startswith(QueueKeys.processing.head):
        return ("LLEN", key)
    if place in _SORTED or place.startswith(QueueKeys.group.head):
        return ("ZREVRANGE", key, 0, 0, "WITHSCORES")
    return ("LINDEX", key, 0)


def _head(reply: Any) -> Position:
    """Return the position of the head of a sorted set. The order of a worker's jobs is known only after reading."""
    return Position(order(reply[1]), text(reply[0])) if isinstance(reply, list) else NEWEST


def _position_of(job_id: str, since: bytes | None) -> Position:
    """Return a job's position in the order of pages. After one whose record is missing or corrupt there may be newer
    ones."""
    time = order(since, -1)
    return NEWEST if time < 0 else Position(time, job_id)


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
    fitting = groups.fitting(queue, which) if which.is_by_group else None
    if fitting is None or len(fitting) > MAX_MERGED:
        return [State.FAILED]
    return [f"{QueueKeys.group.head}{group}" for group in fitting]
