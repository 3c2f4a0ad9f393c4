"""Waiting in code that threads run, and coroutines too (`gopher.aio`): neither may block the others of its kind."""

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

#: How the code that a coroutine runs waits for an awaitable; None in a thread of its own.
suspending: ContextVar[Callable[[Awaitable[Any]], Any] | None] = ContextVar("suspending", default=None)


def sleep(seconds: float) -> None:
    """Wait for some seconds."""
    suspend = suspending.get()
    if suspend is None:
        time.sleep(seconds)
        return
    # Most programs have no coroutines.
    import asyncio

    suspend(asyncio.sleep(seconds))


def breathe() -> None:
    """Let other coroutines run: called now and then by slow code that does not wait."""
    if suspending.get() is not None:
        sleep(0)


class Mutex:
    """A lock that may be held while a call is under way.

    Coroutines share their thread with the one that holds it, so they can't wait for it as threads do: they are woken,
    one at a time, when it is released. Another one may be faster; then they wait for the next release.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    def __enter__(self) -> None:
        suspend = suspending.get()
        if suspend is None:
            self._lock.acquire()
            return
        while not self._lock.acquire(blocking=False):
            self._wait(suspend)

    def __exit__(self, *exc: object) -> None:
        self._lock.release()
        self._wake_one()

    def _wait(self, suspend: Callable[[Awaitable[Any]], Any]) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        waiter = loop, loop.create_future()
        self._waiting.append(waiter)
        if not self._lock.locked():
            # A thread has released it just before.
            self._wake_one()
        try:
            suspend(waiter[1])
        except BaseException:
            try:
                self._waiting.remove(waiter)
            except ValueError:
                # It was to be the next one.
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        # Of a closed loop, nothing waits any more.
        while self._waiting:
            with suppress(IndexError, RuntimeError):
                loop, turn = self._waiting.popleft()
                loop.call_soon_threadsafe(_end, turn)
                return


def _end(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
