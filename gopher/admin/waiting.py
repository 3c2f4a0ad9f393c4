"""Acts on jobs that wait: run, move, copy, and cancel many."""

import time
from collections.abc import Sequence
from typing import Any

from gopher.base.names import QUEUE_NAME, canonical_id, check_name
from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import text
from gopher.errors import InvalidJob, JobConflict
from gopher.interface import WaitingInterface
from gopher.interface.operation import takes
from gopher.jobs.acting import CancelFilter, CancellationView, Moved, StartedCancellation
from gopher.jobs.job import new_job_id
from gopher.jobs.registry import Registry
from gopher.queue.chosen_ids import KEPT
from gopher.queue.deliveries import entry_of, move_in
from gopher.queue.index_entries import Entry, read_entry, written_entry
from gopher.queue.missing import no_such_job
from gopher.queue.moves import Queue
from gopher.queue.store import Server
from gopher.reads.jobs import Inspector
from gopher.server.errors import explained

from .audit import audited
from .cancellations import Cancellations
from .copies import Copies

#: Why a job can't be moved or run now, by the answer of the script.
_REASONS = {
    "PARENTS": "it waits for other jobs of its queue",
    "CHILDREN": "other jobs of its queue wait for it",
    "STARTING": "a worker is starting it",
}


@audited
class Waiting(WaitingInterface):
    """Acts on jobs that wait, on the server itself."""

    def __init__(self, server: Server, inspector: Inspector, copies: Copies) -> None:
        self._server = server
        self._inspector = inspector
        self._copies = copies
        self._cancellations = Cancellations(server)

    def run(self, job_id: str) -> None:
        """Run a waiting job now. Raises JobNotFound, JobConflict."""
        job_id, queue = self._find(job_id)
        self._check(job_id, "run now", self._server.run(self._server.queue(queue).run_now(job_id)))

    def move(self, job_id: str, queue: str | None = None, priority: str | None = None) -> Moved:
        """Move a waiting job to another queue or priority. Raises JobNotFound, JobConflict, InvalidJob."""
        if queue is None and priority is None:
            raise InvalidJob("is required, or a priority, or both", "/queue")
        if queue is not None:
            check_name(QUEUE_NAME, queue, "/queue")
        if priority is not None and priority not in PRIORITIES:
            raise InvalidJob(f"is {priority!r:.60}: must be one of {', '.join(PRIORITIES)}", "/priority")
        job_id, here = self._find(job_id)
        if queue is not None and queue != here:
            self._move_out(job_id, here, queue, priority or "")
        elif priority is not None:
            self._check(job_id, "moved", self._server.run(self._server.queue(here).set_priority(job_id, priority)))
        ((own,),) = self._server.run(self._server.queue(queue or here).read_fields([job_id], ["priority"]))
        return Moved(job_id, queue or here, priority or text(own or b""))

    def copy(
        self,
        job_id: str,
        payload: Any = None,
        queue: str | None = None,
        priority: str | None = None,
        registry: Registry | None = None,
    ) -> str:
        """Submit a copy of a job; return its id. Raises JobNotFound, InvalidJob. `registry` checks its type."""
        job_id, here = self._find(job_id)
        return self._copies.make(here, job_id, payload, queue, priority, registry)

    @takes(CancelFilter)
    def cancel_matching(self, which: CancelFilter) -> StartedCancellation:
        """Start to cancel all jobs that match now. Raises InvalidJob."""
        return self._cancellations.start(which)

    def cancellations(self) -> list[CancellationView]:
        """Return active cancellations, and those that ended within the last day; latest first."""
        return self._cancellations.all()

    def stop_cancellation(self, cancellation_id: str) -> bool:
        """Stop a cancellation. Raises CancellationNotFound."""
        return self._cancellations.stop(cancellation_id)

    def _find(self, job_id: str) -> tuple[str, str]:
        """Return the id of a job as it is stored, and its queue. Raises JobNotFound."""
        queue = self._inspector.find(job_id := canonical_id(job_id))
        if queue is None:
            raise no_such_job(self._server, job_id)
        return job_id, queue

    def _check(self, job_id: str, what: str, answer: str) -> None:
        if answer == "MISSING":
            raise no_such_job(self._server, job_id)
        if answer != "OK":
            reason = _REASONS.get(answer, f"it is {answer}")
            raise JobConflict(f"job {job_id} can't be {what}: {reason}")

    def _move_out(self, job_id: str, queue: str, to: str, priority: str) -> None:
        """Move a job to another queue. Whenever this process dies, a scheduler does the rest (see `queue.relay`)."""
        source = self._server.queue(queue)
        # A queue is not registered for a job that stays where it is.
        self._depart(job_id, source, "", "")
        self._server.register_queues(to)
        posted = self._depart(job_id, source, to, priority)
        self._note_place(job_id, to)
        self._deliver(to, posted)
        self._server.run(source.relayed(to, posted))

    def _depart(self, job_id: str, source: Queue, to: str, priority: str) -> list[bytes]:
        """Take a job out of its queue, and return the entries for the other one; without one only check it."""
        reply: list[bytes] = self._server.run(source.depart(job_id, to, new_job_id(), priority))
        self._check(job_id, "moved", text(reply[0]))
        return reply[1:]

    def _deliver(self, to: str, posted: Sequence[bytes]) -> None:
        self._server.run(move_in(self._server.queue(to), [entry_of(each) for each in posted]))

    def _note_place(self, job_id: str, to: str) -> None:
        """Note the new queue of a job in the index. A job that is not moved must not have it there: if its submission
        came again with the id that it had chosen, that would be stored there, too."""
        key = self._server.keys.job_index(job_id)
        with explained():
            known = read_entry(self._server.client.get(key)) or Entry(to, "", round(time.time() * 1000))
            left = self._server.client.pttl(key)
            self._server.client.set(key, written_entry(known._replace(queue=to)), px=max(left, _KEPT_MS))


_KEPT_MS = round((366 + KEPT / 86400) * 86400 * 1000)
