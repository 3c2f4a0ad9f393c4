"""Waits for the ends of jobs: one task looks at all that coroutines wait for, many in a round trip."""

import asyncio
import time
from collections.abc import Iterator

from gopher.base.pauses import looks
from gopher.base.states import ENDED
from gopher.errors import QueueUnavailable
from gopher.reads.jobs import Inspector

from .bridge import run

#: Jobs that are due within this many seconds are looked at together.
_TOGETHER = 0.01
#: Jobs per round trip.
_MOST = 200


class _Watched:
    """A job that coroutines wait for."""

    def __init__(self, ended: "asyncio.Future[None]") -> None:
        #: Set when it has ended, or is gone; fails when the server can't be asked.
        self.ended = ended
        self.waiting = 0
        self._pauses: Iterator[float] = looks()
        self.due = 0.0
        self.put_off()

    def put_off(self) -> None:
        self.due = time.monotonic() + next(self._pauses)


class JobWatch:
    """The jobs that coroutines of a client wait for."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._task: asyncio.Task[None] | None = None
        self._earlier = asyncio.Event()

    @property
    def size(self) -> int:
        """The number of jobs that are waited for."""
        return len(self._watched)

    async def wait(self, queue: str, job_id: str, timeout: float | None) -> None:
        """Return once a job has ended, or after `timeout` seconds. Raises a ServerError."""
        place = (queue, job_id)
        watched = self._watched.get(place)
        if watched is None:
            watched = self._watched[place] = _Watched(asyncio.get_running_loop().create_future())
            self._earlier.set()
        watched.waiting += 1
        if self._task is None:
            self._task = asyncio.ensure_future(self._look())
        try:
            await asyncio.wait([watched.ended], timeout=timeout)
        finally:
            watched.waiting -= 1
            if not watched.waiting and self._watched.get(place) is watched:
                del self._watched[place]
        if watched.ended.done():
            watched.ended.result()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        """Look while coroutines wait."""
        try:
            while self._watched:
                now = time.monotonic()
                await self._sleep(min(each.due for each in self._watched.values()) - now)
                now = time.monotonic() + _TOGETHER
                due = [place for place, each in self._watched.items() if each.due <= now]
                for at in range(0, len(due), _MOST):
                    await self._look_at(due[at : at + _MOST])
        finally:
            self._task = None
            self._end(list(self._watched), QueueUnavailable("the client was closed"))

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or until another job is waited for, which is due earlier."""
        if seconds <= 0:
            return
        self._earlier.clear()
        try:
            await asyncio.wait_for(self._earlier.wait(), seconds)
        except TimeoutError:
            pass

    async def _look_at(self, places: list[tuple[str, str]]) -> None:
        try:
            states = await run(self._inspector.states, places)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._end(places, error)
            return
        self._end([place for place, state in zip(places, states, strict=True) if state is None or state in ENDED])
        for place in places:
            if (watched := self._watched.get(place)) is not None:
                watched.put_off()

    def _end(self, places: list[tuple[str, str]], error: Exception | None = None) -> None:
        for place in places:
            watched = self._watched.pop(place, None)
            if watched is None or watched.ended.done():
                continue
            if error is None:
                watched.ended.set_result(None)
            else:
                watched.ended.set_exception(error)
