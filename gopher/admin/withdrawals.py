"""Withdraws schedules and limits that handlers have declared, and that no running process declares any more."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from gopher.base.salvage import text
from gopher.errors import InvalidJob
from gopher.jobs.schedule import parse_spec
from gopher.queue.announcing import LIMIT, SCHEDULE, member
from gopher.queue.store import Server
from gopher.server.clock import now_at
from gopher.server.errors import explained
from gopher.server.round_trips import Words, ask

from .limits import Flow
from .schedules import Schedules

#: Maximum number of declarations of a queue that are looked at together.
_AT_ONCE = 100


class Declaration(NamedTuple):
    """A schedule or a limit of a queue."""

    queue: str
    kind: str
    name: str


class Withdrawals:
    """What is declared by no running process, across all queues."""

    def __init__(self, server: Server, after: float) -> None:
        self._server = server
        #: Seconds without an announcement.
        self._after = after

    def unannounced(self, queues: Sequence[str], seconds: float) -> dict[Declaration, float]:
        """Return what has not been announced for so long, each with when it was last announced (ms)."""
        every = [self._server.keys.for_queue(queue) for queue in queues]
        with explained():
            latest = now_at(self._server.client, self._server.keys.workers) - round(seconds * 1000)
            commands: list[Words] = [
                ("ZRANGEBYSCORE", keys.declared, "-inf", latest, "WITHSCORES", "LIMIT", 0, _AT_ONCE) for keys in every
            ]
            found = ask(self._server.client, commands)
        return {
            Declaration(keys.queue, kind, name): float(announced)
            for keys, row in zip(every, found, strict=True)
            for declared, announced in zip(row[0::2], row[1::2], strict=True)
            for kind, _, name in [text(declared).partition(":")]
        }

    def withdraw(self, declaration: Declaration) -> bool:
        """Delete it if it is still a handler's, and still not announced; return whether it was deleted."""
        queue, kind, name = declaration
        definition = self._definition(queue, name) if kind == SCHEDULE else b""
        answer = self._server.run(self._server.queue(queue).withdraw(kind, name, self._after, definition))
        return bool(answer == "WITHDRAWN")

    def silent(self) -> set[str]:
        """Return the running workers and schedulers that do not announce what they declare: earlier versions."""
        keys = self._server.keys
        running = self._running([keys.workers, keys.schedulers, keys.declaring])
        return (running[0] | running[1]) - running[2]

    def is_announced_by_workers(self) -> bool:
        """Return whether a running worker announces what it declares."""
        keys = self._server.keys
        workers, declaring = self._running([keys.workers, keys.declaring])
        return bool(workers & declaring)

    def notice_all(self) -> None:
        """Have the time begin now for what no process has announced so far."""
        found: dict[str, list[str]] = {}
        for queue, kind, name in self._of_handlers():
            found.setdefault(queue, []).append(member(kind, name))
        self._server.run_each([self._server.queue(name).announce(found[name], if_new=True) for name in sorted(found)])

    def _of_handlers(self) -> Iterator[Declaration]:
        for schedule in Schedules(self._server).all():
            if schedule.origin == "handler":
                yield Declaration(schedule.queue, SCHEDULE, schedule.name)
        for limit in Flow(self._server).limits():
            if limit.origin == "handler":
                yield Declaration(limit.queue, LIMIT, limit.type)

    def _definition(self, queue: str, name: str) -> bytes:
        """Return the definition of a handler's schedule, b"" for others."""
        with explained():
            definition = self._server.client.hget(self._server.keys.for_queue(queue).schedules, name)
        try:
            return definition if definition and parse_spec(definition, None).origin == "handler" else b""
        except InvalidJob:
            return b""

    def _running(self, places: Collection[str]) -> list[set[str]]:
        with explained():
            now = now_at(self._server.client, self._server.keys.workers)
            commands: list[Words] = [("ZRANGEBYSCORE", place, now, "+inf") for place in places]
            found = ask(self._server.client, commands)
        return [{text(name) for name in names} for names in found]
