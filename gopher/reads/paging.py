"""Cuts pages from a stream of entries, so that each reads a bounded number of them, and continues where one ended."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple

import msgspec

from gopher.base.salvage import UNREADABLE
from gopher.errors import InvalidJob
from gopher.queue.keys import QueueKeys

from .scan import Entry, Position

#: Maximum number of records read per page, which may have fewer jobs than requested, and still a next page.
MAX_SCANNED = 2000
#: How many entries that are skipped because of their ids cost as much as a record.
_IDS_PER_RECORD = 8
#: Records read per round trip.
_BLOCK = 100
#: How many jobs that changed one after the other are sorted by creation together.
SORTED_TOGETHER = 5000
#: Places that are lists in waiting order.
LISTS = (QueueKeys.pending.head, QueueKeys.pending_of.head, QueueKeys.parked.head)
#: Maximum number of lists whose last ids are in a cursor: it has to fit into a URL.
_CURSOR_LISTS = 10
#: How many ids of each list: the very last one may be cancelled between two pages.
_CURSOR_IDS = 3

#: Newer than any job.
_TOP = Position(2**62, "")

#: Returns which entries match, and how many records it has read.
Fits = Callable[[Sequence[Entry]], tuple[list[bool], int]]


class Cursor(msgspec.Struct, array_like=True):
    """Where a page ended: a position for all places, and the last ids read from lists, which may be out of order.

    In the order of creation, where the jobs that are sorted together begin; `made` and `made_id` are the job in it.
    """

    time: int
    id: str
    lists: dict[str, list[str]]
    made: int = -1
    made_id: str = ""

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Parse the result of `text()`. Raises InvalidJob."""
        try:
            return msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except UNREADABLE:
            raise InvalidJob("is not a cursor: use the next_cursor of the previous page", "/cursor") from None

    def text(self) -> str:
        return urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


class Chosen(NamedTuple):
    """The entries of a page, and the start of the next one, None if there is none."""

    entries: Iterable[Entry]
    end: Cursor | None


class _Passed:
    """What a cursor has to know of the entries that have been passed."""

    def __init__(self, start: Cursor | None) -> None:
        self._lists = dict(start.lists) if start else {}
        self._last = Position(start.time, start.id) if start else _TOP

    def note(self, entry: Entry) -> None:
        self._last = entry.position
        if entry.place == QueueKeys.next.head or entry.place.startswith(LISTS):
            # Moved to the end, since a cursor keeps the last ones.
            passed = self._lists.pop(name := f"{entry.queue}:{entry.place}", [])
            self._lists[name] = [entry.id, *passed][:_CURSOR_IDS]

    def cursor(self) -> Cursor:
        """Return where the entries behind those begin."""
        return Cursor(*self._last, dict(list(self._lists.items())[-_CURSOR_LISTS:]))


class _Page:
    """The entries of a page: no more are chosen once there are enough of them, or too much has been read."""

    def __init__(self, fits: Fits, limit: int) -> None:
        self._fits = fits
        self._limit = limit
        self._cost = 0
        #: Few at first, since each may be in another queue.
        self._size = limit + 1
        self.chosen: dict[str, Entry] = {}
        #: Those that have not been looked at.
        self.rest: Iterator[Entry] = iter(())

    def pay(self, ids: int) -> None:
        """Count ids that have been read."""
        self._cost += ids

    def fill(self, entries: Iterator[Entry], note: Callable[[Entry], None]) -> bool:
        """Choose among entries, and note each that has been passed; return whether the page is full."""
        self.rest = entries
        while block := list(islice(entries, min(self._size, _BLOCK))):
            self._size *= 2
            fitting, read = self._fits(block)
            self.pay(read * _IDS_PER_RECORD + len(block) - read)
            for index, (entry, is_one) in enumerate(zip(block, fitting, strict=True)):
                note(entry)
                if is_one:
                    # A job that moved during the read may occur twice.
                    self.chosen.setdefault(entry.id, entry)
                if len(self.chosen) == self._limit:
                    self.rest = chain(block[index + 1 :], entries)
                    return True
            if self._cost >= MAX_SCANNED * _IDS_PER_RECORD:
                return True
        return False

    def has_more(self) -> bool:
        return next(self.rest, None) is not None


def choose(entries: Iterator[Entry], fits: Fits, limit: int, start: Cursor | None) -> Chosen:
    """Return up to `limit` matching entries in their order."""
    page, passed = _Page(fits, limit), _Passed(start)
    is_full = page.fill(entries, passed.note)
    return Chosen(page.chosen.values(), passed.cursor() if is_full and page.has_more() else None)


def choose_by_creation(
    entries: Iterator[Entry],
    fits: Fits,
    limit: int,
    start: Cursor | None,
    read_created: Callable[[Sequence[Entry]], Mapping[str, int]],
) -> Chosen:
    """Return up to `limit` matching entries, those created last first; `SORTED_TOGETHER` entries at once are sorted.

    The ids that are sorted are read again for each page, which costs the same however many pages there are.
    """
    page, passed = _Page(fits, limit), _Passed(start)
    made = None if start is None or start.made < 0 else Position(start.made, start.made_id)
    while together := list(islice(entries, SORTED_TOGETHER)):
        page.pay(len(together))
        created = read_created(together)
        ordered = sorted(((Position(created[each.id], each.id), each) for each in together), reverse=True)
        left = iter([each for position, each in ordered if made is None or position < made])
        last: list[Entry] = []
        is_full = page.fill(left, lambda entry, last=last: last.append(entry))  # type: ignore[misc]
        if is_full and page.has_more():
            begin = passed.cursor()
            begin.made, begin.made_id = created[last[-1].id], last[-1].id
            return Chosen(page.chosen.values(), begin)
        for entry in together:
            passed.note(entry)
        if is_full:
            is_more = next(entries, None) is not None
            return Chosen(page.chosen.values(), passed.cursor() if is_more else None)
        made = None
    return Chosen(page.chosen.values(), None)
