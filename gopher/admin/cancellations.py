"""Cancellations of all jobs that match a filter.

The plan of each queue is stored in the server, and the scheduler continues it by small steps
(continue_cancellations.lua), so it outlives every process.
"""

from collections.abc import Mapping

import msgspec

from gopher.base.names import KEY_NAME, TENANT, check_name
from gopher.base.salvage import NO_NAME, NO_TIME, Salvage, moment, text, whole
from gopher.base.times import to_rfc3339
from gopher.errors import CancellationNotFound
from gopher.jobs.acting import DEFAULT_STATES, CancelFilter, CancellationView, StartedCancellation
from gopher.jobs.job import new_job_id
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.reads.criteria import moment_of
from gopher.server.clock import now_at
from gopher.server.errors import explained

from .gradual import known_status, records, stop_everywhere

_STATUSES = ("running", "finished", "stopped")


class _Asked(msgspec.Struct):
    """The filter of a cancellation, as `start` stores it."""

    status: str | None = None
    type: str | None = None
    tenant: str | None = None
    owner: str | None = None
    created_before: str | None = None


class Cancellations:
    """Starts, lists and stops cancellations of many jobs."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def start(self, which: CancelFilter) -> StartedCancellation:
        """Start to cancel what matches in each queue. Raises InvalidJob."""
        before = self._before(which.created_before)
        fields = [] if which.owner is None else [_owner(which.owner)]
        tenant = "" if which.tenant is None else check_name(TENANT, which.tenant, "/tenant")
        states = [which.status] if which.status else list(DEFAULT_STATES)
        shown = None if before is None else to_rfc3339(before)
        asked = _Asked(which.status, which.job_type, which.tenant, which.owner, shown)
        cancellation_id, total = new_job_id(), 0
        # No scheduler would continue it in a queue that does not exist.
        names = [name for name in self._server.queues() if self._covers(which, name)]
        for name in names:
            call = self._server.queue(name).start_cancellation(
                cancellation_id,
                states,
                which.job_type or "",
                before,
                fields,
                tenant,
                dry_run=which.dry_run,
                asked=msgspec.json.encode(asked),
            )
            total += self._server.run(call)
        return StartedCancellation(cancellation_id if names else "", total)

    def _covers(self, which: CancelFilter, queue: str) -> bool:
        """Return whether jobs of a queue may match. Deliveries of webhooks are only meant if type or queue say so."""
        if which.queue is None and which.job_type is None:
            return queue != self._server.settings.webhooks_queue
        return which.queue in (None, queue)

    def _before(self, when: str | None) -> int | None:
        """Return a time, or that of some time ago, in Unix ms. Raises InvalidJob."""
        if when is None:
            return None
        with explained():
            # One before 1970 is before all jobs.
            return max(round(moment_of(when, "/created_before", self._now, 0)), 1)

    def _now(self) -> int:
        return now_at(self._server.client, self._server.keys.workers)

    def all(self) -> list[CancellationView]:
        """Return active cancellations, and those that ended within the last day; latest first."""
        with explained():
            found = records(self._server, "cancellations", "cancellation")
            views = [_view(record.id, record.queue, record.fields) for record in found]
        return sorted(views, key=lambda view: (view.started_at, view.queue), reverse=True)

    def stop(self, cancellation_id: str) -> bool:
        """Cancel no more; return whether it was still under way. Raises CancellationNotFound."""
        stopped = stop_everywhere(self._server, cancellation_id, Queue.stop_cancellation)
        if stopped is None:
            raise CancellationNotFound(f"there is no cancellation {cancellation_id}, or it ended more than a day ago")
        return stopped


def _owner(name: str) -> str:
    """Return the field that envelopes of an owner's jobs have, as it is written there. Raises InvalidJob."""
    return f'"owner":{msgspec.json.encode(check_name(KEY_NAME, name, "/owner")).decode()}'


def _view(cancellation_id: str, queue: str, record: Mapping[str, bytes]) -> CancellationView:
    salvage = Salvage()
    read = salvage.read
    asked = read("asked", lambda: msgspec.json.decode(record["asked"], type=_Asked), _Asked())

    def count(name: str) -> int:
        return read(name, lambda: whole(record[name]), 0)

    return CancellationView(
        cancellation_id=cancellation_id,
        queue=queue,
        status=read("status", lambda: known_status(record["state"], _STATUSES), NO_NAME),
        total=count("total"),
        looked_at=count("looked_at"),
        cancelled=count("ended"),
        stopping=count("stopping"),
        matched=count("matched"),
        dry_run=record.get("dry_run") == b"1",
        type=asked.type,
        state=asked.status,
        tenant=asked.tenant,
        owner=asked.owner,
        created_before=asked.created_before,
        started_at=read("started_at", lambda: to_rfc3339(moment(record["began"])), NO_TIME),
        finished_at=read("finished_at", lambda: to_rfc3339(moment(record["finished"])), None)
        if record.get("finished")
        else None,
        reason=text(record.get("reason", b"")) or None,
        corrupt=salvage.corrupt,
    )
