"""Knows the current master of a Sentinel group, and drops the connections to the one before.

There is one watch per process and group. A worker or scheduler runs it in its event loop; other processes run it in a
thread that starts once a connection has been in use for half a second, so that short commands need none. The children
of a worker must not start threads, which would count as left by the job: they query the sentinels before they use a
connection, if they have not done so for half a second.
"""

import os
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import Any
from weakref import WeakSet, finalize

from gopher.base.address import ServerAddress

from . import own_threads
from .access import access_of
from .locator import Sentinels
from .open_connections import OpenConnections
from .redis_py import exceptions
from .resolver import Address
from .sentinel_watch import PERIOD, SentinelWatch

#: Seconds for which a caller may wait for the sentinels, and for all of them.
_WAIT, _WAIT_FOR_ALL = 0.2, 0.5

_shared: dict[tuple[int, ServerAddress], "MasterWatch"] = {}
_lock = threading.Lock()


class MasterWatch:
    """The watch of a group in this process. `of` returns it; threads may share it."""

    def __init__(self, address: ServerAddress) -> None:
        self.pid = os.getpid()
        self._address = address
        #: What locating the master takes, in this order.
        self._how = access_of(address)[1], address.address_map
        self._sentinels = Sentinels(address.hosts, address.service, *self._how)
        self._pools: WeakSet[OpenConnections] = WeakSet()
        #: Those whose end may end the watch, also if they are watched again after they were closed.
        self._ended_by: WeakSet[OpenConnections] = WeakSet()
        # Reentrant, since garbage collection may call `leave` at any time.
        self._guard = threading.RLock()
        #: When to look at the sentinels next; infinity while `_watch` does.
        self._due = 0.0
        self._watch: SentinelWatch | None = None
        self._thread: _Thread | None = None
        #: Those of the process's event loop, if `_watch` runs there.
        self._loops: OpenConnections | None = None
        #: The last master that anything here was told of, and how many there were.
        self._latest: Address | None = None
        self.number = 0
        #: The master of the last query, without `_watch`.
        self._found: Address | None = None

    @classmethod
    def of(cls, address: ServerAddress, connections: OpenConnections) -> "MasterWatch":
        """Return the watch of this process, which from now on drops these connections, too."""
        key = (os.getpid(), address)
        with _lock:
            watch = _shared.get(key) or _shared.setdefault(key, cls(address))
        with watch._guard:
            watch._pools.add(connections)
            if connections not in watch._ended_by:
                watch._ended_by.add(connections)
                # Not when the process ends: the thread ends with it.
                finalize(connections, watch.leave).atexit = False
        return watch

    def locate(self, limit: float) -> Address:
        """Return the master's address within `limit` seconds. Raises redis-py's ConnectionError."""
        known = self._watch.master() if self._watch else None
        return self._numbered(known or self._sentinels.locate(limit))

    def is_still(self, address: Address) -> bool:
        """Return whether an address that was located before is still that of the master, as far as is known."""
        known = self._watch.master() if self._watch else None
        return known is None or known == address

    def is_for_good(self, address: Address) -> bool | None:
        """Ask all sentinels whether this is the master, and none is replacing it; None if too few of them reply."""
        return self._sentinels.is_for_good(address, _WAIT_FOR_ALL)

    def look(self) -> None:
        """Have the master watched; called before a connection is used."""
        now = time.monotonic()
        if now >= self._due and self._guard.acquire(blocking=False):
            try:
                self._look(now)
            finally:
                self._guard.release()

    def run_in(self, selector: selectors.BaseSelector, connections: OpenConnections) -> SentinelWatch:
        """Return a watch for the caller's loop, which has these connections."""
        self._stop_thread()
        with self._guard:
            if self._watch is not None:
                # That of an earlier loop: one is enough for all connections.
                self._watch.close()
            self._loops = connections
            return self._begin(selector)

    def forget(self, connections: OpenConnections) -> None:
        """Watch for these connections no more."""
        with self._guard:
            self._pools.discard(connections)
            if self._loops is connections and self._watch is not None:
                self._watch.close()
                self._loops = self._watch = None
                self._due = 0.0
        self.leave()

    def leave(self) -> None:
        """End the thread if nothing is watched anymore."""
        if self.pid == os.getpid() and not list(self._pools):
            self._stop_thread()

    def _begin(self, selector: selectors.BaseSelector) -> SentinelWatch:
        self._due = float("inf")
        hosts, service = self._address.hosts, self._address.service
        self._watch = SentinelWatch(selector, hosts, service, self._turn_to, *self._how)
        return self._watch

    def _stop_thread(self) -> None:
        with self._guard:
            thread = self._thread
            if thread is not None:
                self._thread = self._watch = None
                self._due = 0.0
        if thread is not None:
            thread.stop()

    def _look(self, now: float) -> None:
        is_first = not self._due
        self._due = now + PERIOD
        if is_first:
            # They have just been queried.
            return
        if own_threads.allowed:
            selector = selectors.DefaultSelector()
            self._thread = _Thread(self._begin(selector), selector)
            self._thread.start()
            return
        with suppress(exceptions.ConnectionError):
            master = self._sentinels.locate(_WAIT)
            if master != self._found:
                self._found = master
                self._drop(master)

    def _turn_to(self, master: Address) -> None:
        with self._guard:
            self._drop(master)

    def _numbered(self, master: Address) -> Address:
        if master != self._latest:
            self._latest = master
            self.number += 1
        return master

    def _drop(self, master: Address) -> None:
        self._numbered(master)
        for connections in list(self._pools):
            connections.drop_others(master)


class SentinelGroup:
    """A Sentinel group: the watch of this process, and the connections of one client to its master."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._connections = OpenConnections()
        self._watch = MasterWatch.of(address, self._connections)
        self._is_closed = False

    @property
    def options(self) -> dict[str, Any]:
        """Those of a connection."""
        return {
            "locate": lambda limit: self._current().locate(limit),
            "open_connections": self._connections,
            "still_there": lambda address: self._current().is_still(address),
        }

    def look(self) -> None:
        self._current().look()

    @property
    def number(self) -> int:
        """Another one for each master."""
        return self._current().number

    def is_for_good(self, address: Address) -> bool | None:
        return self._current().is_for_good(address)

    def watch_in(self, selector: selectors.BaseSelector) -> SentinelWatch:
        return self._current().run_in(selector, self._connections)

    def close(self) -> None:
        self._current().forget(self._connections)
        self._is_closed = True

    def _current(self) -> MasterWatch:
        # After a fork: the watch is the parent's. After `close`: it is used again.
        if self._is_closed or self._watch.pid != os.getpid():
            # Before it is watched: another thread may close it again.
            self._is_closed = False
            self._watch = MasterWatch.of(self._address, self._connections)
        return self._watch


class _Thread(threading.Thread):
    """Runs a watch until it is stopped."""

    def __init__(self, watch: SentinelWatch, selector: selectors.BaseSelector) -> None:
        super().__init__(name="gopher-sentinels", daemon=True)
        self._watch, self._selector = watch, selector
        self._waking, self._woken = socket.socketpair()
        selector.register(self._woken, selectors.EVENT_READ)
        self._stopping = False

    def run(self) -> None:
        while not self._stopping:
            self._watch.tick(time.monotonic())
            # Not for longer, so that a clock that is set back does not stop it.
            pause = min(max(self._watch.wake_at() - time.monotonic(), 0.0), PERIOD)
            for key, mask in self._selector.select(pause):
                # Skip what an earlier event of this round has closed.
                if key.data and self._selector.get_map().get(key.fd) is key:
                    key.data(mask)
        self._watch.close()
        self._selector.close()
        self._waking.close()
        self._woken.close()

    def stop(self) -> None:
        self._stopping = True
        with suppress(OSError):
            self._waking.send(b".")
        if threading.current_thread() is not self:
            self.join(1.0)
