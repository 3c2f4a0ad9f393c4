"""Housekeeping of a scheduler, in its own thread since it waits for the server: announces the handlers' schedules,
declares them again if the server was emptied, withdraws what is declared no more, completes moves of schedules,
keeps the server's memory from running out, and logs what endangers jobs on the server.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence

from gopher.admin.schedules import Schedules
from gopher.errors import ServerError
from gopher.jobs.registry import Registry
from gopher.queue.announcing import Announcer
from gopher.queue.releases import show_release
from gopher.queue.store import Server
from gopher.queue.webhooks import subscribe_all
from gopher.server.clock import now_at
from gopher.server.errors import explained
from gopher.telemetry.logs import get_logger

from .server_watcher import ServerWatcher
from .withdrawer import Withdrawer

log = get_logger("scheduler")

#: Seconds between two checks whether the server was emptied.
MARK_PERIOD = 1.0
#: Timeout for stopping the thread, which may be waiting for a hanging server, in seconds.
LAST_WAIT = 1.0


class Housekeeper:
    """`queues` returns the names of the queues that the scheduler knows."""

    def __init__(
        self, server: Server, registry: Registry, scheduler_id: str, queues: Callable[[], Sequence[str]]
    ) -> None:
        self._server = server
        self._registry = registry
        self._scheduler_id = scheduler_id
        self._queues = queues
        self._announcer = Announcer(registry, server.settings.withdraw_after)
        self._withdrawer = Withdrawer(server, declares=len(registry) > 0)
        self._watcher = ServerWatcher(server)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        #: Whether the handlers' declarations have been written since the server was last emptied.
        self._declared = False
        #: How often that was noticed so far.
        self._times_emptied = 0
        #: At which change of webhooks all queues were told of them (see `Installation.webhooks`).
        self._subscribed: bytes | None = None
        #: The names of the queues at the last check.
        self._names: set[str] = set()
        #: When to check the memory of each node again, by one of its keys (monotonic s).
        self._memory_due: dict[str, float] = {}
        #: Schedules whose moves to other queues are to be completed.
        self._moving: queue.SimpleQueue[str] = queue.SimpleQueue()

    def finish_move(self, name: str) -> None:
        """Complete the move of a schedule to another queue soon: the process that started it may have died."""
        self._moving.put(name)

    def declare(self) -> None:
        """Create the handlers' schedules. Raises InvalidJob; if the server is unavailable, this is retried later."""
        try:
            self._keep_declared()
        except ServerError as error:
            log.warning("could not create the handlers' schedules; retrying when the server is back", error=str(error))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(LAST_WAIT)

    def _run(self) -> None:
        mark_at = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= mark_at:
                mark_at = now + MARK_PERIOD
                self._attempt(self._keep_declared)
                self._attempt(lambda: self._withdrawer.step(self._queues()))
                self._attempt(self._finish_moves)
                self._attempt(self._subscribe)
                self._attempt(self._watcher.step)
            self._attempt(self._keep_memory)
            wake_at = min([mark_at, *self._memory_due.values()])
            self._stopping.wait(max(wake_at - time.monotonic(), 0.02))

    def _attempt(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except ServerError as error:
            # The loop logs if the server is unavailable; the rest is done in the next round.
            log.debug("housekeeping waits for the server", error=str(error))
        except Exception as error:  # noqa: BLE001 - one chore must not end the others
            log.error("housekeeping failed", error=repr(error))

    def _keep_declared(self) -> None:
        """Declare schedules initially, and after the server was emptied."""
        names = set(self._queues())
        self._server.look_for_mark()
        # Another thread may have noticed.
        noticed = self._server.times_emptied
        if noticed != self._times_emptied:
            self._declared = False
            self._announcer.hurry()
            # The loop may have noticed the loss already.
            self._names |= names
            self._server.names.restore(self._names)
            self._times_emptied = noticed
        self._names = names
        if self._announcer.is_due():
            self._announce()
        if not self._declared:
            Schedules(self._server, self._registry).declare(self._registry)
            self._declared = True

    def _announce(self) -> None:
        declared = self._announcer.declared
        try:
            self._server.run_each([self._server.queue(name).announce(declared[name]) for name in declared])
            keys = self._server.keys
            with explained():
                now = now_at(self._server.client, keys.workers)
                shown = show_release(keys, "scheduler", now)
                for command in (shown, *self._announcer.show(keys, self._scheduler_id, now)):
                    self._server.client.execute_command(*command.words)
        except ServerError:
            self._announcer.hurry()
            raise
        if self._announcer.confirmed():
            self._declared = False

    def _subscribe(self) -> None:
        """Tell all queues which ends of jobs webhooks want: the process that has changed them may have died."""
        changed = self._server.installation.webhooks
        if changed != self._subscribed:
            subscribe_all(self._server, self._queues())
            self._subscribed = changed

    def _finish_moves(self) -> None:
        for _ in range(self._moving.qsize()):
            Schedules(self._server).finish_move(self._moving.get())

    def _keep_memory(self) -> None:
        """Evict records of finished jobs on each node of the server that has little memory left."""
        now = time.monotonic()
        for key in self._a_key_of_each_node():
            if now >= self._memory_due.get(key, 0.0):
                pause = self._server.evictor.keep_below(key)
                self._memory_due[key] = time.monotonic() + pause

    def _a_key_of_each_node(self) -> Sequence[str]:
        if not self._server.pools.clustered:
            return [self._server.keys.queues]
        nodes = {id(self._server.pools.pool_for(prefix)): prefix for prefix in self._prefixes()}
        keys = list(nodes.values())
        self._memory_due = {key: due for key, due in self._memory_due.items() if key in keys}
        return keys

    def _prefixes(self) -> Sequence[str]:
        return [self._server.keys.for_queue(name).prefix for name in self._queues()]
