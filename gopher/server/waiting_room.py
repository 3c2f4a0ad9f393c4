"""Bounds how many threads of a process wait for replicas, so that others always stay free."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds that a call may wait if there is no place, and while replicas are silent.
BRIEFLY, AT_ONCE = 0.05, 0.001


class WaitingRoom:
    """Gives each call the seconds that it may wait.

    While replicas confirm, calls that find a place may wait for `longest` seconds, and others briefly. Replicas count
    as silent once a call has waited for `silent_after` seconds: then one call at a time waits for them, and all others
    hardly do. Rooms may share places. Without places, all wait.
    """

    def __init__(self, longest: float, silent_after: float, places: threading.Semaphore | None) -> None:
        self._longest = longest
        self._silent_after = silent_after
        self._places = places
        self._lock = threading.Lock()
        #: When those began that have a place (monotonic s), by thread.
        self._began: dict[int, float] = {}
        self._confirming = True

    @contextmanager
    def seconds(self) -> Iterator[tuple[float, bool]]:
        """Yield the seconds that a call may wait, and whether these are all that one may."""
        if self._places is None:
            yield self._longest, True
            return
        mine, now = threading.get_ident(), time.monotonic()
        with self._lock:
            confirming = self._confirming and now - min(self._began.values(), default=now) < self._silent_after
            admitted = (confirming or not self._began) and self._places.acquire(blocking=False)
            if admitted:
                self._began[mine] = now
        try:
            yield (self._longest, True) if admitted else (BRIEFLY if confirming else AT_ONCE, False)
        finally:
            if admitted:
                with self._lock:
                    del self._began[mine]
                self._places.release()

    def note(self, *, confirmed: bool, waited: bool) -> None:
        """Note whether replicas have confirmed a call, and whether it had all the time that one may have."""
        if confirmed or waited:
            self._confirming = confirmed
