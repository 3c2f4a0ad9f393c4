"""Waiting in code that threads run, and coroutines too (`gopher.aio`): neither may block the others of its kind."""

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar

#: How the code that a coroutine runs waits; None in a thread of its own.
suspending: ContextVar[Callable[[float], None] | None] = ContextVar("suspending", default=None)
#: Seconds between two attempts of a coroutine to take a lock that another one holds.
_LOOK = 0.005


def sleep(seconds: float) -> None:
    """Wait for some seconds."""
    suspend = suspending.get()
    if suspend is None:
        time.sleep(seconds)
    else:
        suspend(seconds)


def breathe() -> None:
    """Let other coroutines run: called now and then by slow code that does not wait."""
    if suspending.get() is not None:
        sleep(0)


class Mutex:
    """A lock that may be held while a call is under way.

    Coroutines share their thread with the one that holds it, so they can't wait for it as threads do. It is seldom
    taken when this is needed: on a full server, and on one that was emptied.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if suspending.get() is None:
            self._lock.acquire()
            return
        while not self._lock.acquire(blocking=False):
            sleep(_LOOK)

    def __exit__(self, *exc: object) -> None:
        self._lock.release()
