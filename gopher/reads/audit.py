"""Reads the audit trail page by page, newest first: from two streams, that of operators and that of all others."""

import heapq
import re
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

import msgspec

from gopher.base.salvage import NO_NAME, NO_TIME, Salvage, text
from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob
from gopher.jobs.audit import EVENT, AuditEntry, AuditEvent, AuditPage
from gopher.jobs.lists import AuditFilter
from gopher.queue.store import Server
from gopher.server.errors import explained

#: Maximum number of entries scanned per page, which may have fewer than requested, and still a next page.
MAX_SCANNED = 5000
#: Entries read per round trip.
_BLOCK = 200
_decode = msgspec.json.Decoder(AuditEvent).decode
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})([ao])")


class _Position(NamedTuple):
    """The place of an entry: its id in its stream, and which of the two it is; later ones are greater."""

    ms: int
    number: int
    stream: str

    def __str__(self) -> str:
        return f"{self.ms}-{self.number}{self.stream}"

    @classmethod
    def read(cls, cursor: str) -> "_Position":
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise InvalidJob("is not a cursor of the audit trail: use `next_cursor` of a page", "/cursor")
        return cls(int(found[1]), int(found[2]), found[3])


def audit_page(server: Server, asked: AuditFilter) -> AuditPage:
    """Return a page of entries. Raises InvalidJob for an invalid cursor."""
    after = None if asked.cursor is None else _Position.read(asked.cursor)
    streams = [
        _stream(server, key, mark, after)
        for key, mark in ((server.keys.audit, "a"), (server.keys.audit_of_others, "o"))
    ]
    found: list[AuditEntry] = []
    for scanned, (position, entry) in enumerate(heapq.merge(*streams, key=itemgetter(0), reverse=True)):
        if len(found) == asked.limit or scanned == MAX_SCANNED:
            return AuditPage(found, str(after))
        if _matches(entry, asked):
            found.append(entry)
        after = position
    return AuditPage(found, None)


def _matches(entry: AuditEntry, asked: AuditFilter) -> bool:
    wanted = (("who", asked.who), ("action", asked.action), ("result", asked.result))
    return all(value is None or getattr(entry, name) == value for name, value in wanted)


def _stream(server: Server, key: str, mark: str, after: _Position | None) -> Iterator[tuple[_Position, AuditEntry]]:
    """Yield the entries of a stream before a position, newest first."""
    # Two entries may have the same id, one in each stream.
    until = "+" if after is None else f"{'' if mark < after.stream else '('}{after.ms}-{after.number}"
    while True:
        with explained():
            rows = server.client.execute_command("XREVRANGE", key, until, "-", "COUNT", str(_BLOCK))
        for entry_id, fields in rows:
            position = _Position.read(text(entry_id) + mark)
            yield position, _entry(position, fields)
        if len(rows) < _BLOCK:
            return
        until = f"({position.ms}-{position.number}"


def _entry(position: _Position, fields: Mapping[bytes, bytes]) -> AuditEntry:
    salvage = Salvage()
    unreadable = AuditEvent(who=NO_NAME, through=NO_NAME, action=NO_NAME, result=NO_NAME)
    event = salvage.read("event", lambda: _decode(fields[EVENT.encode()]), unreadable)
    time = salvage.read("time", lambda: to_rfc3339(position.ms), NO_TIME)
    return AuditEntry(id=str(position), time=time, corrupt=salvage.corrupt, **msgspec.structs.asdict(event))
