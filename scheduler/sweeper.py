"""Removes stored files that nothing needs, in a thread of its own: a store may be slow."""

import random
import threading

from gopher.errors import GopherError
from gopher.files.opening import open_store
from gopher.files.sweeping import sweep
from gopher.queue.store import Server
from gopher.server.errors import explained
from gopher.telemetry.logs import get_logger

log = get_logger("scheduler")

#: Seconds between two sweeps, and until the first one.
PERIOD, FIRST = 600.0, 30.0
#: Seconds for which other schedulers leave it to the one that has started.
LOCKED = 400
#: Timeout for stopping the thread, in seconds.
LAST_WAIT = 1.0


class Sweeper:
    """Sweeps the store of the settings. Of a store that all share, one scheduler at a time does."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(LAST_WAIT)

    def _run(self) -> None:
        pause = FIRST
        # With jitter, so that several schedulers take turns.
        while not self._stopping.wait(pause * random.uniform(0.8, 1.2)):  # noqa: S311 - no secret
            pause = PERIOD
            try:
                if self._is_our_turn():
                    self._sweep()
            except GopherError as error:
                log.warning("could not remove old files", error=str(error))
            except Exception as error:  # noqa: BLE001 - the next sweep may succeed
                log.error("could not remove old files", error=repr(error))

    def _is_our_turn(self) -> bool:
        if self._server.settings.store == "file:":
            # It may be this machine's own.
            return True
        with explained():
            return bool(self._server.client.set(self._server.keys.sweeping, "1", nx=True, ex=LOCKED))

    def _sweep(self) -> None:
        store = open_store(self._server.settings, self._server)
        try:
            swept = sweep(store, self._server)
        finally:
            store.close()
        if swept.files:
            log.info("removed old files", store=store.url, files=swept.files, bytes=swept.bytes)
