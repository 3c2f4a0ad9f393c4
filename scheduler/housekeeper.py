"""Housekeeping of a scheduler, in its own thread since it waits for the server: declares the handlers' schedules again
if the server was emptied, and keeps the server's memory from running out.
"""

import threading
import time
from collections.abc import Callable, Sequence

from gopher.admin.schedules import Schedules
from gopher.errors import ServerError
from gopher.jobs.handlers import Registry
from gopher.queue.store import Server
from gopher.telemetry.logs import get_logger

log = get_logger("scheduler")

#: Seconds between two checks whether the server was emptied.
MARK_PERIOD = 1.0
#: Timeout for stopping the thread, which may be waiting for a hanging server, in seconds.
LAST_WAIT = 1.0


class Housekeeper:
    """`queues` returns the names of the queues that the scheduler knows."""

    def __init__(self, server: Server, registry: Registry, queues: Callable[[], Sequence[str]]) -> None:
        self._server = server
        self._registry = registry
        self._queues = queues
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        #: Whether the handlers' declarations have been written since the server was last emptied.
        self._declared = False
        #: The names of the queues at the last check.
        self._names: set[str] = set()
        #: When to check the memory of each node again, by one of its keys (monotonic s).
        self._memory_due: dict[str, float] = {}

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
        if self._server.look_for_mark():
            self._declared = False
            # The loop may have noticed the loss already.
            self._server.names.restore(names | self._names)
        self._names = names
        if not self._declared:
            Schedules(self._server, self._registry).declare(self._registry)
            self._declared = True

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
