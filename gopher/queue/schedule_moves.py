"""The moves of schedules: they are set and deleted, and fire."""

from collections.abc import Callable, Sequence
from typing import Any

from gopher.jobs.job import NewJob
from gopher.jobs.schedule import ANY
from gopher.server.calls import Call

from .arguments import as_ms, as_number
from .replies import read_answer, read_tick, read_ticks

#: Expected of a schedule that comes from another queue.
MOVED = "moved"


class ScheduleMoves:
    """The part of `Queue` that schedules use."""

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        raise NotImplementedError

    def set_schedule(
        self, name: str, definition: bytes, next_time: int | None, expected: str = ANY, *, least: int = 0
    ) -> Call:
        """Create or replace a schedule whose version is the expected one (set_schedule.lua).

        MOVED is expected of one that comes from another queue, in the version `least`; others get at least that. The
        reply is CREATED, REPLACED, UNCHANGED or CHANGED.
        """
        return self._call("set_schedule", (name, definition, as_number(next_time), expected, least), read_answer)

    def delete_schedule(self, name: str | bytes, expected: str = ANY) -> Call:
        """Delete a schedule whose version is the expected one (delete_schedule.lua).

        The reply is DELETED, ABSENT or CHANGED.
        """
        return self._call("delete_schedule", (name, expected), read_answer)

    def due_ticks(self, limit: int = 100) -> Call:
        """Read which schedules are due (due_ticks.lua). The reply is a `Ticks`."""
        return self._call("due_ticks", (limit,), read_ticks)

    def tick(
        self,
        name: str,
        definition: bytes,
        expected: int | bytes,
        next_time: int | None,
        jobs: Sequence[NewJob],
        *,
        skip_overlap: bool = False,
    ) -> Call:
        """Fire a schedule and advance its next time (tick.lua). The reply is FIRED, SKIPPED or MOVED."""
        arguments: list[Any] = [name, definition, expected, as_number(next_time), "1" if skip_overlap else "0"]
        for job in jobs:
            arguments += (job.id, job.type, job.priority, as_ms(job.retention), job.expires.lstrip("+"), job.envelope)
            arguments += (job.limit_key, job.callback, job.tenant)
        return self._call("tick", arguments, read_tick)
