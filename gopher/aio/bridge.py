"""Runs synchronous code in a coroutine: what it waits for is awaited.

The code runs in a greenlet. Where it would block, it hands an awaitable to the coroutine (`wait_for`), which awaits it
and resumes the greenlet with the result. SQLAlchemy's asyncio extension works in the same way. So `AsyncClient` runs
the code of `Client`, and there is no second implementation that could differ.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, ParamSpec, TypeVar, cast

from gopher.base.installed import require
from gopher.base.waiting import suspending

require("async", "AsyncClient")
from greenlet import getcurrent, greenlet  # noqa: E402 - after the check, whose message has the remedy

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


async def run(function: Callable[Parameters, Result], *given: Parameters.args, **named: Parameters.kwargs) -> Result:
    """Call a synchronous function, and await what it waits for with `wait_for`.

    When the coroutine is cancelled, the function sees CancelledError where it waits.
    """
    bridge = greenlet(function, getcurrent())
    bridge.gr_context = _context()
    reply = bridge.switch(*given, **named)
    while not bridge.dead:
        try:
            awaited = await reply
        except BaseException:  # noqa: BLE001 - raised again where the code waits
            reply = bridge.throw(*sys.exc_info())
        else:
            reply = bridge.switch(awaited)
    return cast("Result", reply)


def wait_for(awaitable: Awaitable[Result]) -> Result:
    """Await something in synchronous code that `run` has called."""
    assert suspending.get() is wait_for, "call it with `run`"
    return cast("Result", getcurrent().parent.switch(awaitable))


def _context() -> Context:
    """Return a copy of the coroutine's context, in which code waits by suspending the coroutine."""
    context = copy_context()
    context.run(suspending.set, wait_for)
    return context


def in_thread_context() -> Context:
    """Return a copy of the current context for a thread that runs a part of the code."""
    context = copy_context()
    context.run(suspending.set, None)
    return context


def in_threads(threads: Any, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return a function that runs another one in a thread of an executor, and waits for it with `wait_for`."""

    def called(*given: Parameters.args, **named: Parameters.kwargs) -> Result:
        context = in_thread_context()
        loop = asyncio.get_running_loop()
        return wait_for(loop.run_in_executor(threads, lambda: context.run(function, *given, **named)))

    return called
