"""Handlers that are coroutines. `GOPHER_HANDLERS=tests.worker.coroutine_handlers`."""

import asyncio
import functools
import os
import time

from gopher import Discard, Job, Retry, handler
from tests.helpers import note_started


@handler("adds")
async def adds(job: Job, payload: dict) -> int:
    """Adds numbers, each in a task of its own."""
    job.log("adding")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0.001, number)) for number in payload["numbers"]]
    job.progress(1.0, "added")
    return sum(task.result() for task in tasks)


def logged(function):
    @functools.wraps(function)
    def wrapper(job, payload):
        job.log("called")
        return function(job, payload)

    return wrapper


@handler("wrapped")
@logged
async def wrapped(job: Job, payload: dict) -> str:
    return "ran"


class Shop:
    async def __call__(self, job: Job, payload: dict) -> str:
        return "sold"


handler("shop")(Shop())


@handler("waits")
async def waits(job: Job, payload: dict) -> None:
    try:
        note_started(job.id)
        await asyncio.sleep(60)
    finally:
        job.log("ended by %s", job.cancelled())


@handler("gathers")
async def gathers(job: Job, payload: dict) -> None:
    await asyncio.gather(*(asyncio.sleep(60) for _ in range(100)))


@handler("tidies")
async def tidies(job: Job, payload: dict) -> str:
    """Ends in time, with a result."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)
    return "tidied"


@handler("computes")
async def computes(job: Job, payload: dict) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pass


@handler("stubborn")
async def stubborn(job: Job, payload: dict) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            job.log("not yet")


@handler("blocks_a_thread")
async def blocks_a_thread(job: Job, payload: dict) -> None:
    await asyncio.to_thread(time.sleep, 60)


_ERRORS = {
    "discard": lambda: Discard("no"),
    "retry": lambda: Retry("busy", after=30),
    "value": lambda: ValueError("bad"),
}


@handler("fails", permanent=(KeyError,))
async def fails(job: Job, payload: dict) -> None:
    async def fail(kind: str) -> None:
        raise _ERRORS[kind]()

    async with asyncio.TaskGroup() as group:
        for kind in payload["kinds"]:
            group.create_task(fail(kind))


@handler("cancels_itself")
async def cancels_itself(job: Job, payload: dict) -> None:
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


@handler("leaves")
async def leaves(job: Job, payload: dict) -> int:
    """Leaves tasks, a thread that runs, and a generator that is not through."""
    loop = asyncio.get_running_loop()
    loop.create_task(asyncio.sleep(3600))  # noqa: RUF006 - it is left
    loop.call_later(0.05, print, "printed by a loop that is over")

    async def numbers():
        while True:
            yield 1

    await anext(numbers())
    await asyncio.to_thread(os.getpid)
    return os.getpid()


@handler("forks")
async def forks(job: Job, payload: dict) -> int:
    """Returns in both processes, each in its copy of the event loop; then the loop is used once more."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        await asyncio.sleep(0.01)
        await asyncio.to_thread(os.getpid)
    return os.getpid()
