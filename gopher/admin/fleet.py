"""Tells workers to be quiet or to stop, and asks them for the stacks of running jobs."""

import time

import msgspec

from gopher.base.names import canonical_id
from gopher.base.states import State
from gopher.base.times import to_rfc3339
from gopher.base.waiting import sleep
from gopher.errors import JobConflict, WorkerNotFound
from gopher.interface.fleet import FleetInterface
from gopher.interface.operation import takes
from gopher.jobs.filters import WorkerFilter
from gopher.jobs.models import WorkerView
from gopher.jobs.stack import StackView
from gopher.queue.commands import QUIET, STACK, STOP, StackAnswer, WorkerCommand
from gopher.queue.missing import no_such_job
from gopher.queue.store import Server
from gopher.reads.jobs import Inspector
from gopher.server.errors import explained

from .audit import audited

#: Seconds that a worker has to answer: a heartbeat, and the time in which its child writes; between two questions,
#: as a job is processing for the server before its worker has received it; and between two looks.
_PATIENCE, _AGAIN, _LOOK = 8.0, 1.0, 0.05


@audited
class Fleet(FleetInterface):
    """The workers of a server."""

    def __init__(self, server: Server, inspector: Inspector) -> None:
        self._server = server
        self._inspector = inspector

    def quiet(self, worker_id: str) -> list[str]:
        """Let a worker fetch no more jobs. Raises WorkerNotFound."""
        return self._tell_one(worker_id, QUIET)

    def stop(self, worker_id: str) -> list[str]:
        """Let a worker finish its jobs and exit. Raises WorkerNotFound."""
        return self._tell_one(worker_id, STOP)

    @takes(WorkerFilter)
    def quiet_all(self, which: WorkerFilter) -> list[str]:
        """Let workers fetch no more jobs; return their ids."""
        return self._tell_all(which, QUIET)

    @takes(WorkerFilter)
    def stop_all(self, which: WorkerFilter) -> list[str]:
        """Let workers finish their jobs and exit; return their ids."""
        return self._tell_all(which, STOP)

    def stack(self, job_id: str) -> StackView:
        """Return where a running job is. Raises JobNotFound, and JobConflict if it isn't running."""
        queue = self._inspector.find(job_id := canonical_id(job_id))
        if queue is None:
            raise no_such_job(self._server, job_id)
        worker = self._worker_of(queue, job_id)
        with explained():
            self._server.client.delete(self._server.keys.for_queue(queue).stack(job_id))
        answer = self._answer(queue, job_id, worker)
        if answer.problem:
            raise JobConflict(f"job {job_id} has no stack: {answer.problem}")
        at = to_rfc3339(answer.at)
        return StackView(job_id, worker, answer.pid, answer.attempt, at, answer.place, answer.stack)

    def _worker_of(self, queue: str, job_id: str) -> str:
        """Return the id of the worker that runs a job. Raises JobConflict."""
        (fields,) = self._server.run(self._server.queue(queue).read_fields([job_id], ["state", "token"]))
        state, token = ((value or b"").decode("utf-8", "replace") for value in fields)
        if state != State.PROCESSING:
            raise JobConflict(f"job {job_id} has no stack: it is not running, but {state or 'gone'}")
        return token.rpartition(".")[0]

    def _ask(self, queue: str, job_id: str, worker: str) -> None:
        command = WorkerCommand(STACK, job_id).encode()
        if self._server.run(self._server.queue(queue).command(worker, command)) != "OK":
            raise JobConflict(f"job {job_id} has no stack: its worker is lost")

    def _answer(self, queue: str, job_id: str, worker: str) -> StackAnswer:
        """Ask the worker until it answers. Raises JobConflict if it does not."""
        key, began = self._server.keys.for_queue(queue).stack(job_id), time.monotonic()
        asked = 0
        while (waited := time.monotonic() - began) < _PATIENCE:
            if waited >= asked * _AGAIN:
                self._ask(queue, job_id, worker)
                asked += 1
            sleep(_LOOK)
            with explained():
                found = self._server.client.get(key)
            if found:
                return msgspec.json.decode(found, type=StackAnswer)
        raise JobConflict(
            f"job {job_id} has no stack: its worker has not answered within {_PATIENCE:.0f} s; "
            "it may be of an earlier release, or the job has just ended"
        )

    def _tell_one(self, worker_id: str, what: str) -> list[str]:
        for worker in self._inspector.workers():
            if worker.id == worker_id and self._tell(worker, what):
                return [worker_id]
        raise WorkerNotFound(f"there is no worker {worker_id!r:.100}, or it has stopped")

    def _tell_all(self, which: WorkerFilter, what: str) -> list[str]:
        found = [
            worker
            for worker in self._inspector.workers()
            if which.host in (None, worker.host) and (which.queue is None or which.queue in worker.queues)
        ]
        return [worker.id for worker in found if self._tell(worker, what)]

    def _tell(self, worker: WorkerView, what: str) -> bool:
        """Give a worker a command by one of its queues; return whether it has a lease."""
        command = WorkerCommand(what).encode()
        calls = (self._server.queue(name).command(worker.id, command) for name in worker.queues)
        return any(self._server.run(call) == "OK" for call in calls)
