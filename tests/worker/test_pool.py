"""How many jobs a child may have in its hands, and which of them can be taken back."""

from collections import deque

import pytest
from gopher.worker.channel import SupervisorEnd
from gopher.worker.interrupt import Interrupt
from gopher.worker.output import CapturedOutput
from gopher.worker.pool import ChildHandle, Pool, Running, depth_for
from hypothesis import given
from hypothesis import strategies as st

from gopher.queue import FetchedJob
from gopher.registry import Registry
from gopher.settings import Settings


@pytest.mark.parametrize(
    ("mean", "depth"), [(0.0, 1), (0.0001, 16), (0.001, 16), (0.002, 10), (0.008, 2), (0.02, 1), (1.0, 1), (-1.0, 1)]
)
def test_a_child_may_have_as_many_jobs_as_it_starts_within_20_ms(mean, depth):
    assert depth_for(mean) == depth


@given(st.floats(0, 1e6, allow_nan=False))
def test_a_child_may_always_have_one_and_never_more_than_sixteen(mean):
    assert 1 <= depth_for(mean) <= 16


@pytest.fixture
def pool():
    """A pool with one child that never runs: its end of the channel is ours to read."""
    pool = Pool(Settings(worker_concurrency=1), Registry(), list)
    child = ChildHandle(1, SupervisorEnd(), CapturedOutput(), Interrupt(), jobs_left=100, born=0.0, ready=True)
    child.output.close_writer()
    pool.children[1] = child
    yield pool
    pool.close(child)


def running(number, envelope=b"{}", parents=None):
    job = FetchedJob(f"id-{number}", f"w.{number}", "echo", "normal", 1, (), 0, envelope, parents or {})
    return Running(job, "default", None, 3, 30.0, "w")


def child_of(pool):
    return pool.children[1]


def test_only_the_first_job_of_a_child_has_begun(pool):
    first, second = running(1), running(2)
    assert pool.give(first, 4, 100.0)
    assert pool.give(second, 4, 101.0)
    assert (first.started, second.started) == (100.0, float("inf"))
    pool.finished(child_of(pool), 105.0)
    assert second.started == 105.0


def test_gives_no_more_than_the_depth(pool):
    assert [pool.give(running(number), 3, 0.0) for number in range(5)] == [True, True, True, False, False]
    assert pool.capacity(3) == 0
    assert pool.capacity(5) == 2


def test_takes_back_what_waits_behind_the_running_job(pool):
    jobs = [running(number) for number in range(4)]
    for each in jobs:
        pool.give(each, 16, 0.0)
    assert child_of(pool).channel.child_end().receive() is not None
    assert pool.retract(child_of(pool)) == jobs[1:]
    assert list(child_of(pool).jobs) == jobs[:1]


def test_takes_back_the_first_too_when_the_child_has_not_begun_it(pool):
    jobs = [running(number) for number in range(3)]
    for each in jobs:
        pool.give(each, 16, 0.0)
    assert pool.retract(child_of(pool)) == jobs
    assert child_of(pool).jobs == deque()


@pytest.mark.parametrize(
    "large",
    [
        pytest.param(running(1, b"x" * 100_000), id="a large envelope"),
        pytest.param(running(1, parents={"id-0": b"x" * 60_000}), id="a large result of a parent"),
        pytest.param(running(1, parents={f"{n:036d}": b"" for n in range(1000)}), id="many parents without a result"),
    ],
)
def test_nothing_waits_behind_a_job_of_several_packets(pool, large):
    assert pool.give(large, 16, 0.0)
    assert not pool.give(running(2), 16, 0.0)
    assert pool.capacity(16) == 0
    assert pool.retract(child_of(pool)) == []


def test_a_job_of_several_packets_waits_for_a_child_without_jobs(pool):
    assert pool.give(running(1), 16, 0.0)
    large = running(2, b"x" * 100_000)
    assert not pool.give(large, 16, 0.0)
    pool.finished(child_of(pool), 1.0)
    assert pool.give(large, 16, 1.0)


def test_looks_again_when_a_straggler_is_to_lose_what_waits_behind_it(pool):
    pool.give(running(1), 16, 100.0)
    assert pool.wake_at() == 130.0
    pool.give(running(2), 16, 100.0)
    assert pool.wake_at() == pytest.approx(100.05)
