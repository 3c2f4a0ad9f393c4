"""The moves by which jobs are exported and imported (lua/transfer)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gopher.base.salvage import order, text, texts
from gopher.server.calls import Call

#: Seconds for which the ids of an export are kept after they were last read.
SNAPSHOT_KEPT = 3600.0
#: Seconds for which an imported batch is remembered: a repeat of it stores nothing.
IMPORTED_KEPT = 30 * 86400.0
#: Bytes of records after which a page of an export ends.
PAGE_BYTES = 1024 * 1024

_KEPT = str(round(SNAPSHOT_KEPT * 1000))
_pack = msgspec.msgpack.Encoder().encode


class Snapshot(NamedTuple):
    """The ids of a queue's jobs as copied for an export."""

    #: When they were copied, by the server's clock (Unix ms).
    at: int
    is_paused: bool
    #: Place (a list or a sorted set) -> number of ids.
    places: Mapping[str, int]


class ExportedRow(NamedTuple):
    """A job as it is stored. Without fields, its record is not a hash any more."""

    id: str
    #: Milliseconds until the record expires, and until its unique key does; negative for never, and for none.
    expires_in: int = -1
    unique_for: int = -1
    #: Ids of the jobs that it waits for, and of one that has failed it, but has not notified it yet.
    waits_for: str = ""
    failed_by: str = ""
    #: Name of its group of dead letters.
    group: bytes = b""
    fields: Sequence[bytes] = ()


class ExportedPage(NamedTuple):
    """A page of a snapshot: how many ids were read, and those of the jobs that still exist."""

    ids: int
    #: The server's clock (Unix ms).
    now: int
    rows: list[ExportedRow]


class ArrivingJob(NamedTuple):
    """A job to be imported. Times are Unix milliseconds; "" is for what it does not have."""

    id: str
    type: str
    priority: str
    state: str
    #: When it is due, or has ended.
    at: int
    #: When its record expires.
    expires: int | str
    #: Until when its unique key counts.
    unique_until: int | str
    waits_for: str
    failed_by: str
    group: str
    #: The names and values of the other fields of its record.
    fields: Sequence[bytes]


class TransferMoves:
    """The part of `Queue` that exports and imports use."""

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        raise NotImplementedError

    def take_snapshot(self, snapshot_id: str, *, with_finished: bool) -> Call:
        """Copy the ids of all jobs (take_snapshot.lua). The reply is a `Snapshot`."""
        return self._call("transfer/take_snapshot", (snapshot_id, _KEPT, "1" if with_finished else ""), _read_snapshot)

    def read_snapshot(self, snapshot_id: str, place: str, start: int, limit: int) -> Call:
        """Read records of a place from a position on (read_snapshot.lua).

        The reply is an `ExportedPage`, None if the snapshot has expired.
        """
        return self._call("transfer/read_snapshot", (snapshot_id, _KEPT, PAGE_BYTES, place, start, limit), _read_page)

    def read_records(self, snapshot_id: str, job_ids: Sequence[str]) -> Call:
        """Read the records of some jobs for an export (read_snapshot.lua). The reply is that of `read_snapshot`."""
        return self._call("transfer/read_snapshot", (snapshot_id, _KEPT, PAGE_BYTES, "", *job_ids), _read_page)

    def drop_snapshot(self, snapshot_id: str) -> Call:
        """Delete what an export has copied (drop_snapshot.lua)."""
        return self._call("transfer/drop_snapshot", (snapshot_id,), text)

    def import_batch(
        self, batch_id: str, sealed_at: str, fields: Mapping[str, str | bytes], jobs: Mapping[str, str]
    ) -> Call:
        """Import a batch, or more of its jobs (transfer/import_batch.lua). The reply is how many of these are new."""
        packed = [_pack([each for pair in pairs.items() for each in pair]) for pairs in (fields, jobs)]
        return self._call("transfer/import_batch", (batch_id, sealed_at, *packed), int)

    def store_jobs(self, digest: str, jobs: Sequence[ArrivingJob]) -> Call:
        """Import jobs, all of them in one step (store_jobs.lua).

        The reply is None for a repeat; else the index and the answer of each job that was not stored: EXISTS, EXPIRED,
        DUPLICATE.
        """
        rows = [[*map(str, job[:-1]), len(job.fields) // 2] for job in jobs]
        fields = [value for job in jobs for value in job.fields]
        return self._call(
            "transfer/store_jobs", (digest, str(round(IMPORTED_KEPT * 1000)), _pack(rows), *fields), _read_stored
        )

    def link_awaiting(self, places: Mapping[str, str]) -> Call:
        """Have imported jobs wait for parents that have not come with them (link_awaiting.lua).

        `places` has the queue of each, "" for one that does not exist.
        """
        return self._call("transfer/link_awaiting", [each for place in places.items() for each in place], text)


def _read_snapshot(reply: Sequence[bytes]) -> Snapshot:
    fields = texts(reply)
    at, paused = order(fields.pop("at")), fields.pop("paused")
    return Snapshot(at, paused == "1", {place: order(count) for place, count in fields.items()})


def _read_page(reply: Sequence[Any]) -> ExportedPage | None:
    if not reply:
        return None
    return ExportedPage(reply[0], reply[1], [_read_row(*row) for row in reply[2:]])


def _read_row(job_id: bytes, *rest: Any) -> ExportedRow:
    if not rest:
        return ExportedRow(text(job_id))
    expires_in, unique_for, waits_for, failed_by, group, fields = rest
    return ExportedRow(text(job_id), expires_in, unique_for, text(waits_for), text(failed_by), group or b"", fields)


def _read_stored(reply: Sequence[Any]) -> list[tuple[int, str]] | None:
    if reply[0] == b"REPEATED":
        return None
    return [(number - 1, text(answer)) for number, answer in zip(reply[1::2], reply[2::2], strict=True)]
