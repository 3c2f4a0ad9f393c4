"""The duty that enqueues jobs of schedules: one job per time, regardless of the number of schedulers."""

from collections.abc import Callable
from typing import Any

from gopher.base.salvage import UNREADABLE, moment, text
from gopher.errors import GopherError
from gopher.jobs.schedule import dropped, parse_spec, plan, tick_job
from gopher.queue.moves import Queue
from gopher.queue.replies import Ticks
from gopher.server.calls import Call
from gopher.telemetry.logs import get_logger
from gopher.telemetry.tracing import firing

from .duties import Sleeper, until

log = get_logger("scheduler")

#: Maximum number of schedules per call.
LIMIT = 100
#: Milliseconds until a corrupt schedule is checked again.
RESTS = 3_600_000
#: Milliseconds within which a schedule's move to another queue is completed.
MOVING = 5_000


class Ticker(Sleeper):
    """Fires the schedules of a queue. Each call compares and sets the next time, so that a second one has no effect."""

    def __init__(self, queue: Queue, namespace: str, moving: Callable[[str], None]) -> None:
        super().__init__(queue)
        self._namespace = namespace
        #: Called with the name of a schedule whose move to another queue is not complete.
        self._moving = moving
        self._fires: list[Call] = []

    def call(self, now: float) -> Call:
        return self._queue.due_ticks(LIMIT)

    def took(self, reply: Ticks, now: float) -> float:
        self._fires = [self._fire(*due, reply.now) for due in reply.due]
        if reply.due:
            # Others may have become due meanwhile, and a call may have been rejected because its schedule was changed.
            return now
        if reply.next_due is None:
            return now + self.longest_sleep
        return now + min(until(reply.next_due, reply.now), self.longest_sleep)

    def follow_ups(self) -> list[Call]:
        fires, self._fires = self._fires, []
        return fires

    def _fire(self, stored_name: bytes, stored_time: bytes, definition: bytes, now: int) -> Call:
        name = text(stored_name)
        if not definition or name.encode() != stored_name:
            # It can't be shown or deleted, and would be due again immediately.
            log.error("removed a schedule without definition, or with an invalid name", schedule=name)
            return self._queue.delete_schedule(stored_name)
        try:
            spec, expected = parse_spec(definition, None), moment(stored_time)
            if spec.in_queue != self._queue.name:
                # It fires there, once the move is complete.
                self._moving(name)
                return self._queue.tick(name, definition, stored_time, now + MOVING, [])
            fires, next_time = plan(spec, expected, now)
        except (GopherError, *UNREADABLE) as error:
            log.error("a schedule is corrupt; skipping it for an hour", schedule=name, error=str(error))
            return self._queue.tick(name, definition, stored_time, now + RESTS, [])
        jobs = [tick_job(spec, name, self._namespace, fire) for fire in fires]
        log.info("enqueued jobs of a schedule", schedule=name, jobs=len(jobs))
        left_out = dropped(spec, expected, fires, next_time)
        if left_out:
            log.warning("dropped missed runs of a schedule", schedule=name, left_out=left_out)
        traced, stored = firing(name, self._queue.name, jobs)
        overlap = spec.overlap == "skip"
        call = self._queue.tick(name, definition, stored_time, next_time, traced, skip_overlap=overlap)

        def read(reply: Any) -> str:
            answer: str = call.read(reply)
            if answer == "FIRED":
                stored()
            return answer

        return call._replace(read=read)
