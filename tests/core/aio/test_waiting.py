"""Coroutines that wait until another one, or a thread, releases what it holds."""

import asyncio
import threading

import pytest

from gopher.aio.bridge import run, wait_for
from gopher.base.waiting import Mutex

PATIENCE = 60


class CountingLock:
    """A lock that counts the attempts to take it."""

    def __init__(self) -> None:
        self._lock, self.tries = threading.Lock(), 0
        self.release, self.locked = self._lock.release, self._lock.locked

    def acquire(self, blocking: bool = True) -> bool:
        self.tries += 1
        return self._lock.acquire(blocking)


@pytest.fixture
def used():
    return []


@pytest.fixture
def mutex():
    return Mutex()


@pytest.fixture
def use(mutex, used):
    def use(number):
        with mutex:
            wait_for(asyncio.sleep(0.001))
            used.append(number)

    return use


async def started(*coroutines):
    tasks = [asyncio.create_task(each) for each in coroutines]
    # Each runs until it has to wait.
    await asyncio.sleep(0)
    return tasks


def test_many_coroutines_get_a_mutex_in_turn_and_do_nothing_until_then(mutex, use, used):
    mutex._lock = lock = CountingLock()

    async def all_of_them():
        await asyncio.gather(*(run(use, number) for number in range(100)))

    asyncio.run(all_of_them())
    assert used == list(range(100))
    assert lock.tries <= 2 * 100


def test_a_mutex_goes_to_the_next_coroutine_if_the_one_that_was_woken_is_cancelled(mutex, use, used):
    async def cancel_the_first():
        with mutex:
            first, second = await started(run(use, 1), run(use, 2))
        first.cancel()
        await asyncio.wait_for(second, PATIENCE)
        assert first.cancelled()

    asyncio.run(cancel_the_first())
    assert used == [2]


def test_a_coroutine_that_is_cancelled_while_it_waits_for_a_mutex_is_forgotten(mutex, use, used):
    async def cancel_the_second():
        with mutex:
            first, second, third = await started(run(use, 1), run(use, 2), run(use, 3))
            second.cancel()
            await asyncio.wait([second])
        await asyncio.wait_for(asyncio.gather(first, third), PATIENCE)

    asyncio.run(cancel_the_second())
    assert used == [1, 3]


def test_a_mutex_that_is_released_just_before_a_coroutine_waits_for_it_wakes_it(mutex, use, used):
    class JustReleased(CountingLock):
        """A lock that is held at the first attempt, and free a moment later."""

        def acquire(self, blocking=True):
            if not self.tries:
                self.tries += 1
                return False
            return super().acquire(blocking)

    mutex._lock = JustReleased()

    async def take():
        await asyncio.wait_for(run(use, 1), PATIENCE)

    asyncio.run(take())
    assert used == [1]


def test_a_thread_that_releases_a_mutex_wakes_a_coroutine(mutex, use, used):
    held, may_end = threading.Event(), threading.Event()

    def hold():
        with mutex:
            held.set()
            may_end.wait(PATIENCE)

    async def wait_for_the_thread():
        (waiting,) = await started(run(use, 1))
        assert not used
        may_end.set()
        await asyncio.wait_for(waiting, PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(PATIENCE)
    asyncio.run(wait_for_the_thread())
    thread.join()
    assert used == [1]


def test_a_mutex_passes_over_the_coroutines_of_a_loop_that_was_closed(mutex, use, used):
    loop = asyncio.new_event_loop()

    async def wait_behind_it():
        with mutex:
            # As if the other loop had been closed while its coroutine was waiting.
            mutex._waiting.append((loop, loop.create_future()))
            (waiting,) = await started(run(use, 1))
            loop.close()
        await asyncio.wait_for(waiting, PATIENCE)

    asyncio.run(wait_behind_it())
    assert used == [1]
