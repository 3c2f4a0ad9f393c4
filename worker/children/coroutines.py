"""Handlers that are `async def`: one coroutine a child at a time, in an event loop of its own that ends with it."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gopher.compat import event_loop_policy, put_event_loop_policy

if TYPE_CHECKING:
    import asyncio


class Coroutines:
    """Runs the coroutine of a job, and cancels it from a signal handler."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        #: Why it was cancelled.
        self._error: BaseException | None = None

    def run(self, coroutine: Coroutine[Any, Any, object], leave_if_copy: Callable[[], None]) -> object:
        """Return what the coroutine returns. Nothing of its loop is left then: tasks are cancelled, threads joined."""
        # Only now: those that have no such handlers need none of it.
        import asyncio

        self._error = None
        policy = event_loop_policy(asyncio.events)
        try:
            return asyncio.run(self._main(asyncio, coroutine, leave_if_copy))
        except asyncio.CancelledError as cancelled:
            if self._error is None:
                # The handler has cancelled itself.
                raise
            raise self._error.with_traceback(cancelled.__traceback__) from None
        finally:
            self._task = self._loop = None
            # One is made by the first run: else that would look like one that the job has left.
            put_event_loop_policy(asyncio.events, policy)

    async def _main(
        self, asyncio: Any, coroutine: Coroutine[Any, Any, object], leave_if_copy: Callable[[], None]
    ) -> object:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            return await coroutine
        finally:
            # Here: to close the loop in a copy would take it from the process that it is a copy of.
            leave_if_copy()

    def cancel(self, error: BaseException) -> bool:
        """Cancel the coroutine; `error` is what its cancellation then means. Returns False when none runs."""
        if self._loop is None or self._task is None or self._task.done():
            return False
        self._error = error
        self._loop.call_soon_threadsafe(self._task.cancel)
        return True
