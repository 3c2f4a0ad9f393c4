"""Reads schedules: where each is stored, in which version, pages of them.

A schedule is stored with its queue. While it moves to another one it may be stored twice, and a process that died in
between leaves it so: the latest version is the schedule.
"""

import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher.base.names import QUEUE_NAME
from gopher.base.salvage import UNREADABLE, Salvage, moment, order, text
from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob, ScheduleNotFound
from gopher.jobs.job import NO_METADATA
from gopher.jobs.models import SchedulePage, ScheduleView
from gopher.jobs.schedule import ABSENT, salvaged_spec
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask, ask_groups


class Copy(NamedTuple):
    """A schedule as it is stored with a queue."""

    queue: str
    definition: bytes
    #: When it was last changed (ms); 0 if an earlier version of Gopher has stored it.
    changed: int = 0

    @property
    def version(self) -> str:
        """Its version as scripts compare it (see schedules.lua)."""
        return f"{self.changed}-{hashlib.sha1(self.definition, usedforsecurity=False).hexdigest()[:12]}"

    @property
    def destination(self) -> str:
        """The queue of its jobs. If it is not the one that it is stored with, it is moving there."""
        try:
            named = _QUEUE(self.definition).queue or ""
        except UNREADABLE:
            return self.queue
        return named if QUEUE_NAME.fullmatch(named) else self.queue

    @property
    def rank(self) -> tuple[int, str]:
        """Its place among copies of the same schedule, the latest of which counts."""
        return self.changed, self.queue


class Found(NamedTuple):
    """Where a schedule is stored."""

    #: The latest version first: one copy, except briefly.
    copies: list[Copy]
    #: The latest that any queue has had (ms), also of one that was deleted.
    last_changed: int

    @property
    def version(self) -> str:
        return self.copies[0].version if self.copies else ABSENT


class _Queued(msgspec.Struct):
    queue: str | None = None


_QUEUE = msgspec.json.Decoder(_Queued).decode


class StoredSchedules:
    """The stored schedules of an installation."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def found(self, name: str) -> Found:
        """Return where a schedule is stored.

        One that moves meanwhile may be missing in all queues that are read. Its versions tell: they are not the same
        when they are read again.
        """
        found = self._read(name)
        while not found.copies and found.last_changed:
            before, found = found, self._read(name)
            if found.last_changed == before.last_changed:
                break
        return found

    def _read(self, name: str) -> Found:
        queues = self._server.queues()
        groups: list[list[Words]] = []
        for queue in queues:
            keys = self._keys(queue)
            places = [("HGET", keys.schedules), ("HGET", keys.versions), ("ZSCORE", keys.removed)]
            groups.append([(*place, name) for place in places])
        with explained():
            found = ask_groups(self._server.client, groups)
        copies = [
            Copy(queue, definition, int(order(changed)))
            for queue, (definition, changed, _) in zip(queues, found, strict=True)
            if definition is not None
        ]
        copies.sort(key=lambda copy: copy.rank, reverse=True)
        return Found(copies, max([order(version) for _, *versions in found for version in versions], default=0))

    def find(self, name: str) -> Copy:
        """Return the stored schedule of that name. Raises ScheduleNotFound."""
        for copy in self.found(name).copies:
            return copy
        raise ScheduleNotFound(f"there is no schedule {name!r}")

    def next_time(self, name: str, queue: str) -> float | None:
        """Return the next time of a schedule that is stored with a queue, None if it is paused."""
        with explained():
            (found,) = ask(self._server.client, [("ZSCORE", self._server.keys.for_queue(queue).ticks, name)])
        return None if found is None else float(found)

    def page(self, cursor: str | None, limit: int) -> SchedulePage:
        """Return a page of schedules by name. Raises InvalidJob for an invalid cursor."""
        after = None if cursor is None else _name_in(cursor)
        queues = self._server.queues()
        with explained():
            found = ask(self._server.client, [("HKEYS", self._keys(queue).schedules) for queue in queues])
        places: dict[bytes, list[str]] = {}
        for queue, names in zip(queues, found, strict=True):
            for name in names or ():
                places.setdefault(name, []).append(queue)
        names = sorted(name for name in places if after is None or name > after)
        shown, is_last = names[:limit], len(names) <= limit
        views = self.views([(name, places[name]) for name in shown])
        if len(views) < len(shown):
            # Some were deleted meanwhile, or moved to other queues.
            seen = {view.name for view in views}
            views += [view for name in shown if text(name) not in seen for view in self._view(text(name))]
            views.sort(key=lambda view: view.name.encode())
        return SchedulePage(views, None if is_last else urlsafe_b64encode(shown[-1]).decode())

    def view(self, name: str) -> ScheduleView:
        """Return a schedule for display. Raises ScheduleNotFound."""
        for view in self._view(name):
            return view
        raise ScheduleNotFound(f"there is no schedule {name!r}")

    def _view(self, name: str) -> list[ScheduleView]:
        """Return a schedule for display in a list, which is empty if there is none."""
        while copies := self.found(name).copies:
            if views := self.views([(name.encode(), [copy.queue for copy in copies])]):
                return views
        return []

    def views(self, rows: Sequence[tuple[bytes, Iterable[str]]]) -> list[ScheduleView]:
        """Return schedules for display: the names of each, and of the queues that it is stored with."""
        each = [(name, queue) for name, queues in rows for queue in queues]
        commands: list[list[Words]] = []
        for name, queue in each:
            keys = self._keys(queue)
            places = [("HGET", keys.schedules), ("HGET", keys.versions), ("ZSCORE", keys.ticks), ("HGET", keys.last)]
            commands.append([(*place, name) for place in places])
        with explained():
            found = ask_groups(self._server.client, commands)
        newest: dict[bytes, tuple[Copy, Any, Any]] = {}
        for (name, queue), (definition, changed, next_time, last) in zip(each, found, strict=True):
            if definition is not None:
                copy = Copy(queue, definition, int(order(changed)))
                if name not in newest or copy.rank > newest[name][0].rank:
                    newest[name] = copy, next_time, last
        return [_shown_schedule(text(name), *newest[name]) for name, _ in rows if name in newest]

    def _keys(self, queue: str) -> Any:
        return self._server.keys.for_queue(queue)


def _name_in(cursor: str) -> bytes:
    try:
        return b64decode(cursor, altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidJob("is not a cursor of this list: pass next_cursor unchanged", "/cursor") from None


def _shown_schedule(name: str, copy: Copy, next_time: float | None, last: bytes | None) -> ScheduleView:
    spec, corrupt = salvaged_spec(copy.definition, copy.queue)
    salvage = Salvage()
    fields = {field: getattr(spec, field) for field in spec.__struct_fields__}
    if bytes(spec.metadata) == b"null":
        fields["metadata"] = NO_METADATA
    fields["tags"] = spec.tags or []
    fields["tenant"] = spec.tenant or ""
    return ScheduleView(
        name=name,
        next_run_at=salvage.read("next_run_at", lambda: _shown(next_time), None),
        last_job_id=text(last) if last else None,
        **fields,
        version=copy.version,
        corrupt=[*corrupt, *salvage.corrupt],
    )


def _shown(next_time: float | None) -> str | None:
    return None if next_time is None else to_rfc3339(moment(next_time))
