"""A worker's record, shown by `gopherctl workers` and the API."""

import os
import socket
from collections.abc import Callable

import msgspec

from gopher import __version__
from gopher.base.build import fingerprint
from gopher.base.times import to_rfc3339
from gopher.config.machine import cores
from gopher.config.settings import Settings
from gopher.files.opening import identity
from gopher.jobs.fields import WorkerState
from gopher.jobs.models import ChildView, WorkerMemory, WorkerView
from gopher.jobs.registry import INTERNAL, Registry

from .children import system
from .children.handle import ChildHandle
from .children.memory import ProportionalMemory
from .children.pool import Pool
from .queue_side.clock import ServerClock


def new_worker_id() -> str:
    """Return a unique id: host, pid, and 8 random bytes."""
    host = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in socket.gethostname())
    return f"{host[:40]}-{os.getpid()}-{os.urandom(8).hex()}"


class WorkerInfo:
    """Writes the record of this worker."""

    def __init__(self, settings: Settings, queues: list[str], registry: Registry, clock: ServerClock) -> None:
        self._settings = settings
        self._queues = queues
        self._types = [handler.name for handler in registry]
        if settings.webhooks_queue in queues:
            self._types += [handler.name for handler in INTERNAL]
        self._clock = clock
        self._started = clock.now()
        self._cores = cores()
        self._memory = ProportionalMemory()
        self.jobs_done = 0
        #: Whether it has changed since it was last written, except for what an idle worker changes itself.
        self.outdated = False
        self._state: WorkerState = "running"
        #: Returns how it admits jobs by memory, if it does.
        self.admission: Callable[[], WorkerMemory] | None = None

    def change_state(self, state: WorkerState) -> None:
        """Note that the worker fetches no more jobs, or stops."""
        self._state, self.outdated = state, True

    def serve_also(self, queue: str) -> None:
        """Note that the worker also serves the queue of webhooks."""
        self._queues.append(queue)
        self._types += [handler.name for handler in INTERNAL]
        self.outdated = True

    def job_done(self) -> None:
        """Count an ended job."""
        self.jobs_done += 1
        self.outdated = True

    def encode(self, worker_id: str, pool: Pool) -> bytes:
        """Return the record as JSON, and mark it as written."""
        self.outdated = False
        own = os.getpid()
        self._memory.forget_others({own, *pool.children})
        view = WorkerView(
            id=worker_id,
            host=socket.gethostname(),
            pid=own,
            version=__version__,
            build=fingerprint(),
            queues=self._queues,
            types=self._types,
            children=[self._child(child) for child in pool.children.values() if not child.spare],
            jobs_done=self.jobs_done,
            rss=system.resident_bytes(own),
            pss=self._memory.of(own, self.jobs_done),
            started_at=to_rfc3339(self._started),
            last_heartbeat=to_rfc3339(self._clock.now()),
            store=identity(self._settings),
            state=self._state,
            cores=self._cores,
            process=os.environ.get("DYNO", "")[:100],
            admission=self.admission() if self.admission is not None else None,
        )
        return msgspec.json.encode(view)

    def _child(self, child: ChildHandle) -> ChildView:
        view = ChildView(
            pid=child.pid,
            rss=system.resident_bytes(child.pid),
            jobs_done=child.jobs_done,
            # While a job runs, each look is at another moment of it.
            pss=self._memory.of(child.pid, child.jobs_done if child.head is None else object()),
        )
        if (head := child.head) is not None:
            view.job_id, view.job_type = head.job.id, head.job.type
            view.running_since = to_rfc3339(self._clock.at(head.started - head.frozen))
        if child.frozen is not None:
            view.frozen_since = to_rfc3339(self._clock.at(child.frozen.since))
        return view
