"""Reads an installation, page by page, as the lines of an export.

Per queue, the ids of all jobs are copied on the server in one step; then the records are read by these. So each job is
exported once, whatever moves meanwhile, in the state that it has when it is read. The copies also allow an export to
continue that was killed: a page comes with the position after it.
"""

import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher import __version__
from gopher.base.salvage import text
from gopher.base.states import SUCCEEDED, State
from gopher.errors import GopherError
from gopher.queue.store import Server
from gopher.queue.transfer_moves import ExportedPage, ExportedRow, Snapshot
from gopher.server.calls import Call

from .lines import CorruptLine, End, ExportLine, Header, JobLine, QueueLine, job_line, kind_of
from .parts import places_of
from .settings_lines import (
    api_key_lines,
    batch_lines,
    limit_lines,
    parent_results,
    request_lines,
    schedule_lines,
    tenant_lines,
    webhook_lines,
)

#: Ids per page. A page is one script, which takes the server a few milliseconds.
PAGE = 500
#: Seconds for which a call is retried: a failover must not end an export.
PATIENCE = 60.0
#: Number of finished parents that are remembered, so that each is exported once for all of its children.
_REMEMBERED = 10_000


class SnapshotExpired(GopherError):
    """The copied ids of an export that was interrupted are gone: it has to start again."""


class Position(msgspec.Struct, frozen=True):
    """How far an export is: the number of its step, and in a queue the snapshot, its place, and ids of that place."""

    step: int = 0
    taken_at: int = 0
    place: int = 0
    start: int = 0


class ExportPage(NamedTuple):
    """Lines, the position after them, and how many ids they came from."""

    lines: list[ExportLine]
    position: Position
    ids: int = 0


def new_header(server: Server, queues: Sequence[str], without: Collection[str]) -> Header:
    """Return the first line of a new export. Raises a ServerError."""
    return Header(
        export=uuid.uuid4().hex,
        namespace=server.keys.namespace,
        instance=text(server.client.hget(server.keys.meta, "instance") or b""),
        queues=list(queues),
        version=__version__,
        at=time.time_ns() // 1_000_000,
        without=sorted(without),
    )


class Exporter:
    """An export, from a position on. `lines` counts the lines of each kind."""

    def __init__(self, server: Server, header: Header, position: Position, lines: Counter[str]) -> None:
        self._server = server
        self._header = header
        self._begin = position
        self.lines = lines
        #: How many jobs were running when the ids were copied.
        self.running = 0
        self._sent_parents: OrderedDict[tuple[str, str], None] = OrderedDict()

    def pages(self) -> Iterator[ExportPage]:
        """Yield pages. Raises SnapshotExpired if the export can't be continued."""
        queues = self._header.queues
        if self._begin.step > 1 and not self._begin.taken_at and self._begin.step <= len(queues) + 1:
            # An export that was killed may have noted the end of a queue, and not have dropped its snapshot.
            self._drop_snapshot(queues[self._begin.step - 2])
        for number in range(self._begin.step, len(queues) + 3):
            for page in self._step(number, queues):
                self.lines.update(map(kind_of, page.lines))
                yield page

    def _step(self, number: int, queues: Sequence[str]) -> Iterator[ExportPage]:
        after = Position(number + 1)
        if number == 0:
            limits = limit_lines(self._server, queues) if self._has("limits") else []
            # Before the jobs: these start as it is set for them, and their ends are told.
            tenants = tenant_lines(self._server) if self._has("tenants") else []
            webhooks = webhook_lines(self._server) if self._has("webhooks") else []
            # Before the jobs, whose ends they count.
            counting = batch_lines(self._server, queues) if self._has("batches") else []
            yield ExportPage([self._header, *limits, *tenants, *webhooks, *counting], after)
        elif number <= len(queues):
            yield from self._queue(number, queues[number - 1])
        elif number == len(queues) + 1:
            yield from self._settings(number)
        else:
            yield ExportPage([End(dict(self.lines))], after)

    def _has(self, part: str) -> bool:
        return part not in self._header.without

    def _settings(self, number: int) -> Iterator[ExportPage]:
        """Yield what does not belong to jobs. It is read again from its beginning if the export is interrupted."""
        queues = self._header.queues
        if self._has("schedules"):
            yield ExportPage(list(schedule_lines(self._server, queues)), Position(number))
        if self._has("requests"):
            for lines in request_lines(self._server, queues):
                yield ExportPage(list(lines), Position(number))
        keys = api_key_lines(self._server) if self._has("keys") else []
        yield ExportPage(list(keys), Position(number + 1))

    def _queue(self, number: int, name: str) -> Iterator[ExportPage]:
        queue = self._server.queue(name)
        snapshot: Snapshot = self._run(queue.take_snapshot(self._header.export, with_finished=self._has("finished")))
        places = places_of(snapshot.places, self._header.without)
        place, start = 0, 0
        if self._begin.step == number and self._begin.taken_at:
            if self._begin.taken_at != snapshot.at:
                raise SnapshotExpired("the export was interrupted for too long")
            place, start = self._begin.place, self._begin.start
        else:
            ids = sum(snapshot.places[each] for each in places)
            line = QueueLine(name, snapshot.at, ids, paused=snapshot.is_paused and self._has("pauses"))
            self.running += snapshot.places.get(State.PROCESSING, 0)
            yield ExportPage([line], Position(number, snapshot.at))
        while place < len(places):
            read = self._read(queue.read_snapshot(self._header.export, places[place], start, PAGE))
            start += read.ids
            if start >= snapshot.places[places[place]] or not read.ids:
                place, start = place + 1, 0
            yield ExportPage(self._job_lines(name, read), Position(number, snapshot.at, place, start), read.ids)
        yield ExportPage([], Position(number + 1))
        # Once the caller has noted that it is not needed any more.
        self._drop_snapshot(name)

    def _drop_snapshot(self, name: str) -> None:
        self._run(self._server.queue(name).drop_snapshot(self._header.export))

    def _read(self, call: Call) -> ExportedPage:
        page: ExportedPage | None = self._run(call)
        if page is None:
            raise SnapshotExpired("the export was interrupted for too long")
        return page

    def _run(self, call: Call) -> Any:
        return self._server.run(call, patience=PATIENCE)

    def _job_lines(self, queue: str, page: ExportedPage) -> list[ExportLine]:
        lines: list[ExportLine] = []
        for row in page.rows:
            line = _line(queue, row, page.now)
            if isinstance(line, JobLine) and "parents" in line.fields:
                lines += self._finished_parents(queue, line, page.now)
            lines.append(line)
        return lines

    def _finished_parents(self, queue: str, line: JobLine, now: int) -> Iterator[JobLine]:
        """Yield the completed jobs whose results a job will read, unless they were exported lately.

        The line gets the results of those in other queues.
        """
        parents = [each for each in line.fields["parents"].split(",") if each and each not in line.waits_for]
        new = [each for each in parents if (queue, each) not in self._sent_parents]
        elsewhere = dict.fromkeys(new)
        while new:
            page = self._read(self._server.queue(queue).read_records(self._header.export, new))
            new = new[page.ids :]
            for row in page.rows:
                elsewhere.pop(row.id, None)
                parent = _line(queue, row, page.now)
                if isinstance(parent, JobLine) and parent.fields["state"] in SUCCEEDED:
                    yield parent
                    self._sent_parents[queue, row.id] = None
        line.results = parent_results(self._server, queue, list(elsewhere), now, patience=PATIENCE)
        self._sent_parents.update(((queue, each), None) for each in line.results)
        while len(self._sent_parents) > _REMEMBERED:
            self._sent_parents.popitem(last=False)


def _line(queue: str, row: ExportedRow, now: int) -> JobLine | CorruptLine:
    line = job_line(queue, row, now)
    return line if line.fields.keys() >= {"type", "priority", "state"} else CorruptLine(queue, row.id)
