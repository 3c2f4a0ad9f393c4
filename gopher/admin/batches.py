"""Batches on the server: created, sealed, shown, cancelled and retried."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from gopher.base.names import JOB_ID, canonical_id
from gopher.base.pauses import looks
from gopher.base.salvage import NO_NAME, NO_TIME, Salvage, is_corrupt, moment, text, whole
from gopher.base.states import State
from gopher.base.times import to_rfc3339
from gopher.base.waiting import sleep
from gopher.errors import BatchNotFound, InvalidJob, JobConflict
from gopher.hooks import holding
from gopher.interface.batches import BatchesInterface
from gopher.interface.operation import takes
from gopher.jobs.batch import (
    DELETED,
    EVENTS,
    UNSTORED,
    BatchCounts,
    BatchFilter,
    BatchJob,
    BatchJobsPage,
    BatchPage,
    BatchView,
    NewBatch,
    callback_id,
    prepare_new_batch,
)
from gopher.jobs.callbacks import BatchCallback, read_callback
from gopher.jobs.job import new_job_id, with_field
from gopher.jobs.owners import Submitter, current_submitter, owned_by
from gopher.jobs.registry import Registry
from gopher.queue.batch_members import BatchMembers, BatchPlace
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.server.round_trips import ask, ask_rows

from .audit import audited

#: Batches of a queue that are looked at per page, as a filter by status may need, and that are read at once.
_LOOKED_AT, _TOGETHER = 1000, 50
#: Digits of a cursor.
_LONGEST_CURSOR = 20


@audited
class Batches(BatchesInterface):
    """The batches of an installation."""

    def __init__(self, server: Server, types: Registry | None = None) -> None:
        self._server = server
        self._types = types
        self.members = BatchMembers(server)

    def create(
        self, batch: NewBatch, *, submitter: Submitter | None = None, types: Registry | None = None
    ) -> BatchView:
        """Create a batch, and return it. Raises InvalidJob, a ServerError."""
        if holding.holder is not None:
            return holding.holder.create_batch(batch)
        owner = (submitter or current_submitter()).owner
        prepared = prepare_new_batch(batch, types or self._types)
        batch_id = new_job_id(prepared.queue)
        field = b'"batch":' + msgspec.json.encode(batch_id)
        for event, job in prepared.callbacks.items():
            (owned,) = owned_by([job], owner)
            stored = msgspec.structs.replace(owned, envelope=with_field(owned.envelope, field))
            prepared.fields |= {f"on_{event}": msgspec.json.encode(stored), f"queue_{event}": job.queue}
        if owner:
            prepared.fields["owner"] = owner
        self._server.register_queues(*prepared.queues)
        home = self._server.queue(prepared.queue)
        self._server.run(home.create_batch(batch_id, prepared.retention, prepared.fields))
        return self._view(BatchPlace(prepared.queue, owner), batch_id)

    def get(self, batch_id: str) -> BatchView:
        """Return a batch. Raises BatchNotFound."""
        place, batch_id = self._place(batch_id)
        return self._view(place, batch_id)

    def wait(self, batch_id: str, timeout: float | None = None) -> BatchView:
        """Return a batch once all its jobs have ended, or after `timeout` seconds. Raises BatchNotFound."""
        place, batch_id = self._place(batch_id)
        until = float("inf") if timeout is None else time.monotonic() + timeout
        for pause in looks():
            view = self._view(place, batch_id)
            left = until - time.monotonic()
            if view.has_ended or left <= 0:
                break
            sleep(min(pause, left))
        return view

    @takes(BatchFilter)
    def page(self, asked: BatchFilter) -> BatchPage:
        """List batches, newest first. With a filter by status a page may be short, and others follow."""
        rows, following = self._rows(asked.queue, None if asked.cursor is None else _number_in(asked.cursor))
        shown: list[BatchView] = []
        for at, view in enumerate(self._views(rows)):
            if view is not None and asked.status in (None, view.status):
                shown.append(view)
            rest, created = rows[at + 1 :], rows[at].created
            if len(shown) >= asked.limit and not (rest and rest[0].created == created):
                return BatchPage(shown, str(created) if rest else following)
        return BatchPage(shown, following)

    def _rows(self, queue: str | None, before: int | None) -> tuple[list["_Row"], str | None]:
        """Return the newest batches that were created before a time (ms), and the cursor of those that follow."""
        with explained():
            names = [queue] if queue else self._server.queues()
            newest = "+inf" if before is None else f"({before}"
            found = ask(
                self._server.client,
                [
                    (
                        "ZREVRANGEBYSCORE",
                        self._server.keys.for_queue(name).batches,
                        newest,
                        "-inf",
                        "WITHSCORES",
                        *("LIMIT", 0, _LOOKED_AT),
                    )
                    for name in names
                ],
            )
        every = [
            [_Row(int(score), text(member), name) for member, score in _pairs(flat)]
            for name, flat in zip(names, found, strict=True)
        ]
        rows = sorted(chain(*every), reverse=True)
        # Of a queue with more, those are not known that are older than the last one.
        known = max((each[-1].created for each in every if len(each) == _LOOKED_AT), default=None)
        if known is None:
            return rows, None
        kept = [row for row in rows if row.created > known]
        return (kept, str(known + 1)) if kept else (rows, str(known))

    def jobs(
        self, batch_id: str, status: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> BatchJobsPage:
        """List the jobs of a batch, in no particular order. Raises BatchNotFound, InvalidJob for a wrong cursor."""
        place, batch_id = self._place(batch_id)
        at = 0 if cursor is None else _number_in(cursor)
        key, jobs = self._server.keys.for_queue(place.queue).batch_jobs(batch_id), []
        while True:
            with explained():
                at, found = self._server.client.hscan(key, at, count=limit)
            jobs += [job for job in map(_job, found.items()) if job and status in (None, job.status)]
            if not at or len(jobs) >= limit:
                return BatchJobsPage(jobs, str(at) if at else None)

    def seal(self, batch_id: str) -> BatchView:
        """Seal a batch: it takes no more jobs. Raises BatchNotFound."""
        if holding.holder is not None:
            return holding.holder.seal_batch(batch_id)
        place, batch_id = self._place(batch_id)
        self._done(batch_id, self._server.run(self._server.queue(place.queue).seal_batch(batch_id)))
        return self._view(place, batch_id)

    def cancel(self, batch_id: str) -> BatchView:
        """Cancel all jobs of a batch that have not ended, and seal it. Raises BatchNotFound, JobConflict."""
        return self._walk(batch_id, "cancel")

    def retry(self, batch_id: str) -> BatchView:
        """Retry all failed jobs of a batch. Raises BatchNotFound, JobConflict."""
        return self._walk(batch_id, "redrive")

    def place(self, batch_id: str) -> BatchPlace | None:
        """Return where a batch is, and whose; None if there is none."""
        return self.members.place(canonical_id(batch_id))

    def _walk(self, batch_id: str, walk: str) -> BatchView:
        place, batch_id = self._place(batch_id)
        self._done(batch_id, self._server.run(self._server.queue(place.queue).walk_batch(batch_id, walk)))
        return self._view(place, batch_id)

    def _done(self, batch_id: str, answer: str) -> None:
        if answer == "MISSING":
            raise _not_found(batch_id)
        if answer == "BUSY":
            raise JobConflict(f"the batch {batch_id} is still being cancelled or retried: try again in a moment")

    def _place(self, batch_id: str) -> tuple[BatchPlace, str]:
        batch_id = canonical_id(batch_id)
        place = self.members.place(batch_id) if JOB_ID.fullmatch(batch_id) else None
        if place is None:
            raise _not_found(batch_id)
        return place, batch_id

    def _view(self, place: BatchPlace, batch_id: str) -> BatchView:
        view = self._find(place, batch_id)
        if view is None:
            raise _not_found(batch_id)
        return view

    def _find(self, place: BatchPlace, batch_id: str) -> BatchView | None:
        return next(self._views([_Row(0, batch_id, place.queue)]))

    def _views(self, rows: Sequence["_Row"]) -> Iterator[BatchView | None]:
        """Yield batches, None for those that do not exist any more."""
        for at in range(0, len(rows), _TOGETHER):
            some = rows[at : at + _TOGETHER]
            with explained():
                keys = [self._server.keys.for_queue(row.queue).batch(row.batch_id) for row in some]
                records = ask_rows(self._server.client, [("HGETALL", key) for key in keys])
            for row, record in zip(some, records, strict=True):
                fields = {} if is_corrupt(record) else {text(name): value for name, value in record.items()}
                yield batch_view(row.queue, row.batch_id, fields) if record else None


class _Row(NamedTuple):
    """A batch as the list of its queue has it."""

    created: int
    batch_id: str
    queue: str


def _number_in(cursor: str) -> int:
    """Return what a cursor says. Raises InvalidJob."""
    is_number = cursor.isascii() and cursor.isdigit() and len(cursor) <= _LONGEST_CURSOR
    if not is_number or int(cursor) >= 2**64:
        raise InvalidJob(f"is {cursor!r:.60}: expected the next_cursor of a page", "/cursor")
    return int(cursor)


def _not_found(batch_id: str) -> BatchNotFound:
    return BatchNotFound(f"there is no batch {batch_id:.60}, or it ended longer ago than it is kept")


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, float]]:
    for member, score in zip(flat[0::2], flat[1::2], strict=True):
        yield member, float(score)


def _job(row: tuple[bytes, bytes]) -> BatchJob | None:
    """Return a job of a batch, None for one that was never stored."""
    job_id, value = row
    status, _, queue, job_type = (text(value).split(" ") + [NO_NAME] * 4)[:4]
    return None if status == UNSTORED else BatchJob(text(job_id), status, queue, job_type)


#: The states of jobs, as they are stored in the counts of a batch.
_STATES = (*(state.value for state in State), DELETED)


def batch_view(queue: str, batch_id: str, record: Mapping[str, bytes]) -> BatchView:
    """Return a batch for display; fields that can't be read are listed in `corrupt`."""
    salvage = Salvage()

    def instant(name: str) -> str | None:
        return salvage.read(name, lambda: to_rfc3339(moment(record[name])), None) if name in record else None

    counts = salvage.read("total", lambda: _counts(record, "n:"), BatchCounts())
    sealed, ended = instant("sealed_at"), counts.pending == 0
    status = "open" if sealed is None else "running" if not ended else _end(counts)
    return BatchView(
        batch_id=batch_id,
        name=text(record.get("name", b"")),
        queue=queue,
        status=status,
        created_at=salvage.read("created_at", lambda: to_rfc3339(moment(record["created"])), NO_TIME),
        sealed_at=sealed,
        cancelled_at=instant("cancelled_at"),
        completed_at=instant("complete_at"),
        types=salvage.read("types", lambda: _types(record), {}),
        callbacks={event: _callback(batch_id, event, record) for event in EVENTS if f"on_{event}" in record},
        callback=salvage.read("callback", lambda: _reported_to(record), UNSET),
        owner=text(record.get("owner", b"")),
        tags=[tag for tag in text(record.get("tags", b"")).split(",") if tag],
        corrupt=salvage.corrupt or UNSET,
        **msgspec.structs.asdict(counts),
    )


def _end(counts: BatchCounts) -> str:
    return "succeeded" if counts.completed == counts.total else "failed"


def _counts(record: Mapping[str, bytes], head: str) -> BatchCounts:
    found = {state: whole(record.get(head + state, b"0")) for state in _STATES}
    known: dict[str, int] = {name: found.get(name, 0) for name in BatchCounts.__struct_fields__ if name != "total"}
    return BatchCounts(total=sum(found.values()), **known)


def _types(record: Mapping[str, bytes]) -> dict[str, BatchCounts]:
    types = dict.fromkeys(name[2:].rpartition(":")[0] for name in record if name.startswith("t:"))
    found = {name: _counts(record, f"t:{name}:") for name in types}
    return {name: counts for name, counts in sorted(found.items()) if counts.total}


def _reported_to(record: Mapping[str, bytes]) -> BatchCallback | UnsetType:
    callback = read_callback(text(record.get("callback", b"")))
    return UNSET if callback is None else BatchCallback(callback.url, callback.events)


def _callback(batch_id: str, event: str, record: Mapping[str, bytes]) -> str | None:
    fired = record.get(f"{event}_at")
    try:
        return callback_id(batch_id, event, moment(fired)) if fired else None
    except (ValueError, OverflowError):
        return None
