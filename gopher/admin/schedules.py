"""Manages schedules: create, show, pause, run, delete."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from gopher.base.pauses import pauses
from gopher.base.salvage import order
from gopher.base.waiting import sleep
from gopher.errors import InvalidJob, QueueBusy, ScheduleChanged, ScheduleNotFound
from gopher.interface import SchedulesInterface
from gopher.interface.operation import takes
from gopher.jobs.defaults import declared_for
from gopher.jobs.filters import MAX_PREVIEW, ScheduleListing
from gopher.jobs.job import NewJob
from gopher.jobs.lists import MAX_LIMIT
from gopher.jobs.models import PreviewRow, SchedulePage, ScheduleView
from gopher.jobs.registry import Registry
from gopher.jobs.schedule import (
    ABSENT,
    ANY,
    ScheduleSpec,
    as_declared,
    check_name,
    check_spec,
    cron_of,
    declared_spec,
    job_now,
    parse_spec,
    tick_job,
)
from gopher.queue.schedule_moves import MOVED
from gopher.queue.store import Server
from gopher.reads.schedules import Copy, Found, StoredSchedules
from gopher.server.clock import now_at
from gopher.server.errors import explained

from .audit import audited

#: How often a change is tried again because others have changed the schedule meanwhile.
MOST_ATTEMPTS = 20


@audited
class Schedules(SchedulesInterface):
    """The schedules of one installation, across all queues."""

    def __init__(self, server: Server, registry: Registry | None = None) -> None:
        self._server = server
        self._registry = registry
        self._stored = StoredSchedules(server)

    def put(self, name: str, spec: ScheduleSpec, if_version: str | None = None) -> tuple[ScheduleView, str]:
        """Create or replace a schedule; return it, and CREATED, REPLACED or UNCHANGED.

        With `if_version`, only if the schedule has that version, or one of several separated by commas; "*" is any, ""
        that there is no schedule. Raises InvalidJob, ScheduleChanged.
        """
        declared = as_declared(spec, declared_for(spec.type, self._registry))
        return self._put(name, check_spec(declared, self._registry), if_version)

    def _put(self, name: str, spec: ScheduleSpec, if_version: str | None = None) -> tuple[ScheduleView, str]:
        check_name(name)
        answer = self._change(name, lambda _: spec, if_version)
        return self.get(name), answer

    def get(self, name: str) -> ScheduleView:
        """Return a schedule. Raises ScheduleNotFound."""
        return self._stored.view(name)

    def spec(self, name: str) -> ScheduleSpec:
        """Return the definition of a schedule. Raises ScheduleNotFound."""
        return parse_spec(self._stored.find(name).definition, None)

    @takes(ScheduleListing)
    def page(self, asked: ScheduleListing) -> SchedulePage:
        return self._stored.page(asked.cursor, asked.limit or MAX_LIMIT)

    def delete(self, name: str, if_version: str | None = None) -> None:
        """Delete a schedule; jobs that it has created are not affected. Raises ScheduleNotFound, ScheduleChanged."""
        for _ in self._attempts(name):
            found = self._settled(name)
            if not found.copies:
                raise _not_found(name)
            check_version(name, found, if_version)
            if all(self._remove(name, copy) for copy in found.copies):
                return

    def pause(self, name: str, if_version: str | None = None) -> ScheduleView:
        return self._set_paused(name, if_version, paused=True)

    def resume(self, name: str, if_version: str | None = None) -> ScheduleView:
        """Resume a paused schedule from its next time on; runs missed while paused are not made up for."""
        return self._set_paused(name, if_version, paused=False)

    def job_now(self, name: str) -> NewJob:
        """Return a job of the schedule for running it now. Raises ScheduleNotFound."""
        return job_now(self.spec(name))

    def preview(self, name: str, count: int) -> list[PreviewRow]:
        """Return the next times of a schedule, paused or not. Raises ScheduleNotFound, InvalidJob."""
        if not 1 <= count <= MAX_PREVIEW:
            raise InvalidJob(f"is {count}: must be from 1 to {MAX_PREVIEW}", "/n")
        spec = self.spec(name)
        return [PreviewRow(*row) for row in cron_of(spec).preview(self._now(spec.in_queue), count)]

    def declare(self, registry: Registry) -> None:
        """Create the schedules that handlers declare; operators' changes to one are kept."""
        for handler in registry:
            for schedule in handler.schedules:
                self._change(schedule.name, partial(declared_spec, handler, schedule))

    def next_job_id(self, name: str) -> str | None:
        """Return the id that the next job of a schedule will have, None while it is paused."""
        copy = self._stored.find(name)
        next_time = self._stored.next_time(name, copy.queue)
        spec, namespace = parse_spec(copy.definition, None), self._server.keys.namespace
        return None if next_time is None else tick_job(spec, name, namespace, int(next_time)).id

    def finish_move(self, name: str) -> None:
        """Complete the move of a schedule to another queue, if a process has died during it."""
        self._settled(name)

    def _set_paused(self, name: str, if_version: str | None, *, paused: bool) -> ScheduleView:
        def edit(known: bytes | None) -> ScheduleSpec:
            if known is None:
                raise _not_found(name)
            return msgspec.structs.replace(parse_spec(known, None), paused=paused)

        self._change(name, edit, if_version)
        return self.get(name)

    def _change(
        self, name: str, edit: Callable[[bytes | None], ScheduleSpec | None], if_version: str | None = None
    ) -> str:
        """Store what `edit` makes of the present definition, again if that is changed meanwhile; return the answer.

        None leaves the schedule as it is.
        """
        for _ in self._attempts(name):
            found = self._settled(name)
            known = found.copies[0].definition if found.copies else None
            spec = edit(known)
            # A repeat of a change that was made is not a conflict.
            if spec is None or (spec.definition() == known and if_version != ABSENT):
                return "UNCHANGED"
            check_version(name, found, if_version)
            answer = self._store(name, found, spec)
            if answer != "CHANGED" and self._is_only(name, spec, is_new=if_version == ABSENT):
                return answer
        raise AssertionError("attempts end with an error")

    def _store(self, name: str, found: Found, spec: ScheduleSpec) -> str:
        """Store a schedule in the place of the one that was found, by one script; return its answer.

        One for another queue is stored with its present queue first, so that other changes in the meantime are noticed.
        """
        self._server.register_queues(spec.in_queue)
        now = self._now(spec.in_queue)
        next_time = None if spec.paused else cron_of(spec).next_after(now)
        place = found.copies[0].queue if found.copies else spec.in_queue
        least = found.last_changed + 1
        call = self._server.queue(place).set_schedule(name, spec.definition(), next_time, found.version, least=least)
        return str(self._server.run(call))

    def _settled(self, name: str) -> Found:
        """Return where a schedule is stored, after the moves to other queues that were started are complete."""
        while True:
            found = self._stored.found(name)
            moving = next((copy for copy in found.copies if copy.destination != copy.queue), None)
            if moving is None:
                return found
            self._server.register_queues(moving.destination)
            due = self._stored.next_time(name, moving.queue)
            next_time = None if due is None else order(due)
            destination = self._server.queue(moving.destination)
            self._server.run(destination.set_schedule(name, moving.definition, next_time, MOVED, least=moving.changed))
            self._remove(name, moving)

    def _is_only(self, name: str, spec: ScheduleSpec, *, is_new: bool) -> bool:
        """Return whether a change holds, once the schedule is stored with one queue: its move is completed, and if it
        was created for different queues at the same time, the latest one remains. One that had to be new is withdrawn.
        """
        copies = self._settled(name).copies
        own = next((copy for copy in copies if copy.queue == spec.in_queue), None)
        if own is None:
            # It was deleted or moved after this change.
            return True
        others = [copy for copy in copies if copy is not own]
        if any(is_new or copy.rank > own.rank for copy in others):
            self._remove(name, own)
            return False
        for copy in others:
            self._remove(name, copy)
        return True

    def _remove(self, name: str, copy: Copy) -> bool:
        """Remove a copy that is still as it was read; return whether it is gone."""
        answer: str = self._server.run(self._server.queue(copy.queue).delete_schedule(name, copy.version))
        return answer != "CHANGED"

    def _attempts(self, name: str) -> Iterator[None]:
        for pause in itertools.islice(pauses(), MOST_ATTEMPTS):
            yield
            sleep(pause)
        raise QueueBusy(f"schedule {name!r} is being changed by many others: try again")

    def _now(self, queue: str) -> int:
        with explained():
            return now_at(self._server.client, self._server.keys.for_queue(queue).prefix)


def check_version(name: str, found: Found, if_version: str | None) -> None:
    """Raise ScheduleChanged if a schedule does not have the version that a caller expects."""
    if if_version is None or found.version in if_version.split(",") or (if_version == ANY and found.copies):
        return
    if if_version == ABSENT:
        raise ScheduleChanged(f"schedule {name!r} exists already, with version {found.version}")
    state = f"has version {found.version}, not {if_version:.60}" if found.copies else "does not exist"
    raise ScheduleChanged(f"schedule {name!r} {state}: read it again, and repeat the change if it still applies")


def _not_found(name: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"there is no schedule {name!r}")
