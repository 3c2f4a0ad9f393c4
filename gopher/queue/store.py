"""The server with Gopher's queues: all calls, reads and writes go through it.

It runs calls, caches the names of the queues, detects an emptied server, and evicts records on a full one.
"""

import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from gopher.base.waiting import Mutex
from gopher.config.settings import Settings
from gopher.server.errors import ERRORS, explained
from gopher.server.executor import Executor

from .installation import Installation
from .keys import Keys
from .names import QueueNames
from .new_jobs import NewJobs

if TYPE_CHECKING:
    from gopher.server.confirming import ConfirmingExecutor

    from .evict import Evictor
    from .moves import Queue
    from .server_state import ServerWatch

Kept = TypeVar("Kept")

#: Maximum number of queues whose keys are cached.
_QUEUES = 10_000


class Server(Executor):
    """The queues of one installation. Threads may share one; processes may not."""

    def __init__(self, settings: Settings, *, connections: int = 10) -> None:
        super().__init__(settings, connections=connections)
        self.keys = Keys(settings.namespace)
        self.installation = Installation(self.keys)
        self._taking_mark = Mutex()
        #: When the mark was last read while it was taken (monotonic s).
        self._mark_read_at = 0.0
        #: How often this process has noticed that the server was emptied.
        self.times_emptied = 0
        #: What this process is, if it publishes that it runs: the API; until when that is published (monotonic s).
        self.part = ""
        self._shown_until = 0.0
        self.names = QueueNames(self)
        self._queues: dict[str, Queue] = {}
        self._new_jobs: dict[str, NewJobs] = {}

    # Programs that only submit jobs need none of what is imported below.

    def queue(self, name: str) -> "Queue":
        queue = self._queues.get(name)
        if queue is None:
            from .moves import Queue

            queue = Queue(self.keys.for_queue(name), retention=self.settings.result_ttl)
            self._keep(self._queues, name, queue)
        return queue

    def new_jobs(self, name: str) -> NewJobs:
        """Return the part of a queue that stores new jobs."""
        new_jobs = self._new_jobs.get(name)
        if new_jobs is None:
            new_jobs = NewJobs(self.keys.for_queue(name))
            self._keep(self._new_jobs, name, new_jobs)
        return new_jobs

    def _keep(self, kept: dict[str, Kept], name: str, made: Kept) -> None:
        if self.names.is_known(name):
            if len(kept) > _QUEUES:
                # Most of them may have been removed.
                kept.clear()
            kept[name] = made

    @cached_property
    def watch(self) -> "ServerWatch":
        from .server_state import ServerWatch

        # Threads that ask for it at the same time get the same.
        first: ServerWatch = self.__dict__.setdefault("watch", ServerWatch(self))
        return first

    @cached_property
    def evictor(self) -> "Evictor":
        """Frees memory if the server is out of memory."""
        from .evict import Evictor

        made = Evictor(self._outcomes, self.keys, self._queues_near)
        first: Evictor = self.__dict__.setdefault("evictor", made)
        return first

    def confirming_kind(self) -> "type[ConfirmingExecutor]":
        """Return what runs its confirmed calls."""
        from gopher.server.confirming import ConfirmingExecutor

        return ConfirmingExecutor

    def make_room(self, key: str, rooms: int) -> bool:
        return self.evictor.make_room(key, rooms)

    def register_queues(self, *queues: str) -> None:
        """Register the names of queues, all or none. Each process checks them periodically, since the server may have
        been emptied. Raises TooManyQueues."""
        if not all(map(self.names.is_known, queues)):
            with explained():
                self.names.register(queues)

    def look_for_mark(self) -> bool:
        """Check whether the server was emptied since the last check, and record it. Raises a ServerError."""
        with explained():
            return self.take_mark(self.client.execute_command(*self.installation.read_command().words))

    def take_mark(self, reply: Any) -> bool:
        """Process the reply to a read of the mark (see `Installation`); return whether the server was emptied."""
        arrived = time.monotonic()
        with self._taking_mark:
            self._show_release()
            if not self.installation.is_other(reply):
                was_emptied = self._saw_mark(reply)
            elif self._mark_read_at > arrived:
                # Another thread has read it while this reply was in flight, and noticed what there is to notice.
                return False
            else:
                # Another one may have written it since.
                with explained():
                    was_emptied = self._read_mark()
            self._write_missing_mark()
            return was_emptied

    def _read_mark(self) -> bool:
        began = time.monotonic()
        was_emptied = self._saw_mark(self.client.execute_command(*self.installation.read_command().words))
        # Not before it has succeeded: otherwise others have to notice.
        self._mark_read_at = began
        return was_emptied

    def _saw_mark(self, reply: Any) -> bool:
        was_emptied = self.installation.saw(reply)
        if was_emptied:
            self.times_emptied += 1
            self.names.lose()
        return was_emptied

    def _write_missing_mark(self) -> None:
        if self.installation.is_untold or not self.installation.id:
            # A failure to write it now is not a reason to reject a job: the next check writes it.
            with suppress(*ERRORS):
                for command in self.installation.marks():
                    self.client.execute_command(*command.words)
                self._read_mark()

    def _show_release(self) -> None:
        now = time.monotonic()
        if self.part and now >= self._shown_until:
            from .releases import SHOWN_EVERY, show_release

            self._shown_until = now + SHOWN_EVERY
            # Only `doctor` asks for it.
            with suppress(*ERRORS):
                self.client.execute_command(*show_release(self.keys, self.part, time.time() * 1000).words)

    def queues(self) -> list[str]:
        """Return the names of all queues, sorted."""
        with explained():
            return self.names.all()

    def _queues_near(self, key: str) -> list[str]:
        """Return the names of the queues on the node of `key`."""
        names = self.queues()
        if not self.pools.clustered:
            return names
        node = self.pools.pool_for(key)
        return [name for name in names if self.pools.pool_for(self.keys.for_queue(name).prefix) is node]

    def __enter__(self) -> Self:
        return self
