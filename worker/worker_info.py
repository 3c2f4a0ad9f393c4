"""A worker's record, shown by `gopherctl workers` and the API."""

import os
import socket

import msgspec

from gopher import __version__
from gopher.base.times import to_rfc3339
from gopher.jobs.handlers import Registry
from gopher.jobs.models import ChildView, WorkerView

from .children import system
from .children.handle import ChildHandle
from .children.pool import Pool
from .queue_side.clock import ServerClock


def new_worker_id() -> str:
    """Return a unique id: host, pid, and 8 random bytes."""
    host = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in socket.gethostname())
    return f"{host[:40]}-{os.getpid()}-{os.urandom(8).hex()}"


class WorkerInfo:
    """Writes the record of this worker."""

    def __init__(self, queues: list[str], registry: Registry, clock: ServerClock) -> None:
        self._queues = queues
        self._types = [handler.name for handler in registry]
        self._clock = clock
        self._started = clock.now()
        self.jobs_done = 0
        #: Whether it has changed since it was last written, except for what an idle worker changes itself.
        self.outdated = False

    def job_done(self) -> None:
        """Count an ended job."""
        self.jobs_done += 1
        self.outdated = True

    def encode(self, worker_id: str, pool: Pool) -> bytes:
        """Return the record as JSON, and mark it as written."""
        self.outdated = False
        view = WorkerView(
            id=worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            queues=self._queues,
            types=self._types,
            children=[self._child(child) for child in pool.children.values()],
            jobs_done=self.jobs_done,
            rss=system.resident_bytes(os.getpid()),
            started_at=to_rfc3339(self._started),
            last_heartbeat=to_rfc3339(self._clock.now()),
        )
        return msgspec.json.encode(view)

    def _child(self, child: ChildHandle) -> ChildView:
        view = ChildView(pid=child.pid, rss=system.resident_bytes(child.pid), jobs_done=child.jobs_done)
        if (head := child.head) is not None:
            view.job_id, view.job_type = head.job.id, head.job.type
            view.running_since = to_rfc3339(self._clock.at(head.started))
        return view
