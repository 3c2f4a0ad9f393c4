"""Gradual redrives of dead letters: a canary first, the rest once it has completed, at a rate.

The plan of each queue is stored in the server, and the scheduler continues it (continue_redrives.lua). So a redrive
outlives every process, and any number of schedulers may run.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from gopher.base.names import JOB_ID
from gopher.base.rates import EXPECTED, format_rate, parse_rate
from gopher.base.salvage import NO_NAME, NO_TIME, Salvage, finite, moment, text, whole
from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob, RedriveNotFound
from gopher.jobs.filters import MAX_CANARY, SELECTING, RetryAll
from gopher.jobs.job import new_job_id
from gopher.jobs.models import RedriveView, StartedRedrive
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.server.errors import explained

from .gradual import known_status, records, stop_everywhere

_STATUSES = ("canary", "running", "finished", "stopped")


class _Asked(msgspec.Struct):
    """The filters of a redrive, as `start` stores them."""

    type: str | None = None
    error: str | None = None
    group: str | None = None
    tenant: str | None = None


class Share(NamedTuple):
    """A queue's part of a redrive."""

    queue: str
    #: [] for all.
    groups: Sequence[str]
    jobs: int


class Redrives:
    """Starts, lists and stops gradual redrives."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def start(self, shares: Sequence[Share], which: RetryAll) -> StartedRedrive:
        """Start a redrive. Each queue tries the canary first; the rate is that of all queues together.

        Raises InvalidJob, naming /canary or /rate.
        """
        canary, rate = which.canary or 0, which.rate
        if not 0 <= canary <= MAX_CANARY:
            raise InvalidJob(f"is {canary}: must be from 0 to {MAX_CANARY}", "/canary")
        starts = _starts(rate)
        redrive_id, total = new_job_id(), sum(share.jobs for share in shares)
        asked = msgspec.json.encode({**_selection(which), "rate": rate})
        begun = 0
        for share in shares:
            own_rate = None if starts is None else starts * share.jobs / total
            call = self._server.queue(share.queue).start_redrive(
                redrive_id, share.groups, canary=canary, rate=own_rate, limit=share.jobs, asked=asked,
                tenant=which.tenant or "",
            )  # fmt: skip
            begun += self._server.run(call)
        return StartedRedrive(redrive_id if begun else "", begun)

    def all(self) -> list[RedriveView]:
        """Return active redrives, and those that ended within the last day; latest first."""
        with explained():
            found = records(self._server, "redrives", "redrive")
            views = [_view(record.id, record.queue, record.fields) for record in found]
        return sorted(views, key=lambda view: (view.started_at, view.queue), reverse=True)

    def stop(self, redrive_id: str) -> bool:
        """Retry no more; return whether it was still under way. Raises RedriveNotFound."""
        stopped = stop_everywhere(self._server, redrive_id, Queue.stop_redrive)
        if stopped is None:
            raise RedriveNotFound(f"there is no redrive {redrive_id}, or it ended more than a day ago")
        return stopped


def _selection(which: RetryAll) -> dict[str, str | None]:
    """Return what is noted of a filter, by the names that it has in JSON."""
    names = zip(which.__struct_fields__, which.__struct_encode_fields__, strict=True)
    return {wire: getattr(which, name) for name, wire in names if name in SELECTING}


def _starts(rate: str | None) -> float | None:
    if rate is None:
        return None
    try:
        starts = parse_rate(rate).per_second
    except ValueError:
        starts = 0.0
    if starts <= 0:
        raise InvalidJob(f"is {rate!r:.60}: expected {EXPECTED}, greater than 0", "/rate")
    return starts


def _view(redrive_id: str, queue: str, record: Mapping[str, bytes]) -> RedriveView:
    salvage = Salvage()
    read = salvage.read
    asked = read("asked", lambda: msgspec.json.decode(record["asked"], type=_Asked), _Asked())
    return RedriveView(
        redrive_id=redrive_id,
        queue=queue,
        status=read("status", lambda: known_status(record["state"], _STATUSES), NO_NAME),
        total=read("total", lambda: whole(record["total"]), 0),
        retried=read("retried", lambda: whole(record["retried"]), 0),
        canary=read("canary", lambda: whole(record["canary"]), 0),
        canaries=read("canaries", lambda: _listed(record.get("canaries")), []),
        rate=read("rate", lambda: format_rate(finite(record["rate"])) if record["rate"] else None, None),
        type=asked.type,
        error=asked.error,
        group=asked.group,
        started_at=read("started_at", lambda: to_rfc3339(moment(record["began"])), NO_TIME),
        finished_at=read("finished_at", lambda: to_rfc3339(moment(record["finished"])), None)
        if record.get("finished")
        else None,
        reason=text(record.get("reason", b"")) or None,
        tenant=asked.tenant,
        corrupt=salvage.corrupt,
    )


def _listed(ids: bytes | None) -> list[str]:
    found = ids.decode().split(",") if ids else []
    if not all(map(JOB_ID.fullmatch, found)):
        raise ValueError(ids)
    return found
