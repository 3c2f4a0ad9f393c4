"""Publishes a worker's record and declarations on the server; again after the server was emptied."""

from collections.abc import Mapping

from gopher.queue.announcing import Announcer
from gopher.queue.presence import hide_worker, show_worker
from gopher.queue.store import Server
from gopher.server.calls import Command
from gopher.server.event_loop import EventLoop

from .children.pool import Pool
from .queue_side.clock import ServerClock
from .queue_side.served_queue import ServedQueue
from .worker_info import WorkerInfo


class Presence:
    """The record of a worker, and the mark of the installation."""

    def __init__(
        self,
        server: Server,
        event_loop: EventLoop,
        clock: ServerClock,
        info: WorkerInfo,
        pool: Pool,
        queues: Mapping[str, ServedQueue],
        announcer: Announcer,
    ) -> None:
        self._server = server
        self._event_loop = event_loop
        self._clock = clock
        self._info = info
        self._pool = pool
        self._queues = queues
        self._announcer = announcer

    @property
    def outdated(self) -> bool:
        """Whether the record has changed."""
        return self._info.outdated

    def show(self, worker_id: str) -> None:
        """Write the record, which expires after a lease."""
        record = self._info.encode(worker_id, self._pool)
        lease = self._server.settings.worker_lease
        for command in show_worker(self._server.keys, worker_id, record, self._clock.now(), lease):
            self._send(command)

    def begin(self, worker_id: str) -> None:
        """Announce what the handlers declare, with a new id."""
        self._announcer.hurry()
        self.announce(worker_id)

    def announce(self, worker_id: str) -> None:
        """Announce what the handlers declare, if that is due."""
        if not self._announcer.is_due():
            return
        for name, declared in self._announcer.declared.items():
            queue = self._server.queue(name)
            self._event_loop.pipeline_to(queue.keys.prefix).add(queue.announce(declared), self._take_announced)
        for command in self._announcer.show(self._server.keys, worker_id, self._clock.now()):
            self._send(command)

    def _take_announced(self, reply: object) -> None:
        if not isinstance(reply, Exception) and self._announcer.confirmed():
            for served in self._queues.values():
                served.limits.declare()

    def hide(self, worker_id: str) -> None:
        """Remove the record; waits for the server."""
        for command in hide_worker(self._server.keys, worker_id):
            self._server.client.execute_command(*command.words)

    def forget(self, worker_id: str) -> None:
        """Close the connection that only the record of a former id needed."""
        self._event_loop.forget(self._server.keys.worker(worker_id))

    def look_for_mark(self) -> None:
        """Check whether the server was emptied since the last check."""
        installation = self._server.installation
        self._event_loop.pipeline_to(self._server.keys.meta).add(installation.read_command(), self._take_mark)

    def _take_mark(self, reply: object) -> None:
        """Write this worker's declarations again after the server was emptied, until the server has accepted them."""
        installation = self._server.installation
        was_emptied = installation.saw(reply)
        if installation.is_untold:
            for command in installation.declaring([*self._queues]):
                self._send(command)
        if was_emptied:
            self._announcer.hurry()
            for served in self._queues.values():
                served.limits.declare()

    def _send(self, command: Command) -> None:
        self._event_loop.pipeline_to(command.key).add(command)
