"""Manages schedules: create, show, pause, run, delete."""

import time
from collections.abc import Sequence

import msgspec

from gopher.base.salvage import Salvage, moment, text
from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob, ScheduleNotFound
from gopher.interface import SchedulesInterface
from gopher.jobs.cron import CronExpression
from gopher.jobs.filters import MAX_PREVIEW
from gopher.jobs.handlers import Registry
from gopher.jobs.job import NO_METADATA, NewJob
from gopher.jobs.models import PreviewRow, ScheduleView
from gopher.jobs.schedule import (
    ScheduleSpec,
    as_declared,
    check_name,
    check_spec,
    job_now,
    parse_spec,
    salvaged_spec,
    tick_job,
)
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask, ask_groups


class Schedules(SchedulesInterface):
    """The schedules of one installation, across all queues."""

    def __init__(self, server: Server, registry: Registry | None = None) -> None:
        self._server = server
        self._registry = registry

    def put(self, name: str, spec: ScheduleSpec) -> tuple[ScheduleView, str]:
        """Create or replace a schedule; return it, and CREATED, REPLACED or UNCHANGED. Raises InvalidJob."""
        return self._put(name, check_spec(spec, self._registry))

    def _put(self, name: str, spec: ScheduleSpec) -> tuple[ScheduleView, str]:
        now = self._now()
        cron = CronExpression(spec.cron_expression, spec.timezone)
        next_time = None if spec.paused else cron.next_after(now)
        check_name(name)
        self._server.register_queues(spec.queue)
        answer = self._server.run(self._server.queue(spec.queue).set_schedule(name, spec.definition(), next_time))
        others = [queue for queue, _ in self._definitions(name) if queue != spec.queue]
        self._server.run_each([self._server.queue(queue).delete_schedule(name) for queue in others])
        return self.get(name), answer

    def get(self, name: str) -> ScheduleView:
        """Return a schedule. Raises ScheduleNotFound."""
        return self._views([(name, *self._find(name))])[0]

    def spec(self, name: str) -> ScheduleSpec:
        """Return the definition of a schedule. Raises ScheduleNotFound."""
        return parse_spec(self._find(name)[1], None)

    def all(self) -> list[ScheduleView]:
        """Return all schedules, sorted by name."""
        queues = self._server.queues()
        with explained():
            found = ask(
                self._server.client, [("HGETALL", self._server.keys.for_queue(queue).schedules) for queue in queues]
            )
        rows = [
            (text(name), queue, definition)
            for queue, definitions in zip(queues, found, strict=True)
            for name, definition in definitions.items()
        ]
        return self._views(sorted(rows))

    def delete(self, name: str) -> None:
        """Delete a schedule; jobs that it has created are not affected. Raises ScheduleNotFound."""
        queue, _ = self._find(name)
        self._server.run(self._server.queue(queue).delete_schedule(name))

    def pause(self, name: str) -> ScheduleView:
        return self._set_paused(name, paused=True)

    def resume(self, name: str) -> ScheduleView:
        """Resume a paused schedule from its next time on; runs missed while paused are not made up for."""
        return self._set_paused(name, paused=False)

    def job_now(self, name: str) -> NewJob:
        """Return a job of the schedule for running it now. Raises ScheduleNotFound."""
        return job_now(self.spec(name))

    def preview(self, name: str, count: int) -> list[PreviewRow]:
        """Return the next times of a schedule, paused or not. Raises ScheduleNotFound, InvalidJob."""
        if not 1 <= count <= MAX_PREVIEW:
            raise InvalidJob(f"is {count}: must be from 1 to {MAX_PREVIEW}", "/n")
        spec = self.spec(name)
        cron = CronExpression(spec.cron_expression, spec.timezone)
        return [PreviewRow(*row) for row in cron.preview(self._now(), count)]

    def declare(self, registry: Registry) -> None:
        """Create the schedules that handlers declare; operators' changes to one are kept."""
        for handler in registry:
            if handler.cron is None:
                continue
            try:
                known = self.spec(handler.name)
            except (ScheduleNotFound, InvalidJob):
                # A corrupt one is replaced.
                known = None
            if known is None or known.origin == "handler":
                expression, timezone = handler.cron
                spec = ScheduleSpec(
                    cron_expression=expression,
                    timezone=timezone,
                    type=handler.name,
                    payload=msgspec.Raw(b"{}"),
                    paused=bool(known and known.paused),
                    origin="handler",
                )
                self._put(handler.name, as_declared(spec, handler))

    def next_job_id(self, name: str) -> str | None:
        """Return the id that the next job of a schedule will have, None while it is paused."""
        spec, keys = self.spec(name), self._server.keys
        with explained():
            next_time = self._server.client.zscore(keys.for_queue(spec.queue).ticks, name)
        return None if next_time is None else tick_job(spec, name, keys.namespace, int(next_time)).id

    def _set_paused(self, name: str, *, paused: bool) -> ScheduleView:
        spec = msgspec.structs.replace(self.spec(name), paused=paused)
        return self._put(name, spec)[0]

    def _find(self, name: str) -> tuple[str, bytes]:
        for found in self._definitions(name):
            return found
        raise ScheduleNotFound(f"there is no schedule {name!r}")

    def _definitions(self, name: str) -> list[tuple[str, bytes]]:
        """Return the queues that have a schedule of that name, with its definition: one, except briefly."""
        queues = self._server.queues()
        with explained():
            commands = [("HGET", self._server.keys.for_queue(queue).schedules, name) for queue in queues]
            found = ask(self._server.client, commands)
        return [(queue, definition) for queue, definition in zip(queues, found, strict=True) if definition is not None]

    def _views(self, rows: Sequence[tuple[str, str, bytes]]) -> list[ScheduleView]:
        """Return schedules for display: name, queue and definition of each."""
        with explained():
            commands: list[list[Words]] = []
            for name, queue, _ in rows:
                keys = self._server.keys.for_queue(queue)
                commands.append([("ZSCORE", keys.ticks, name), ("HGET", keys.last, name)])
            found = ask_groups(self._server.client, commands)
        return [_view(*row, *times) for row, times in zip(rows, found, strict=True)]

    def _now(self) -> int:
        return time.time_ns() // 1_000_000


def _view(name: str, queue: str, definition: bytes, next_time: float | None, last: bytes | None) -> ScheduleView:
    spec, corrupt = salvaged_spec(definition, queue)
    salvage = Salvage()
    fields = {field: getattr(spec, field) for field in spec.__struct_fields__}
    if bytes(spec.metadata) == b"null":
        fields["metadata"] = NO_METADATA
    return ScheduleView(
        name=name,
        next_run_at=salvage.read("next_run_at", lambda: _shown(next_time), None),
        last_job_id=text(last) if last else None,
        **fields,
        corrupt=[*corrupt, *salvage.corrupt],
    )


def _shown(next_time: float | None) -> str | None:
    return None if next_time is None else to_rfc3339(moment(next_time))
