"""How many jobs a child may have in its hands, and which of them can be taken back."""

import os
from collections import deque
from functools import cache

import pytest
from gopher.worker.children.capture import CapturedOutput
from gopher.worker.children.channel import SupervisorEnd
from gopher.worker.children.claims import Claims
from gopher.worker.children.interrupt import Interrupt
from gopher.worker.children.pool import ChildHandle, Pool, depth_for, holds_for
from gopher.worker.messages import decode_assignments
from gopher.worker.running import Running
from hypothesis import given
from hypothesis import strategies as st

from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.queue.moves import FetchedJob


@pytest.mark.parametrize(
    ("mean", "children", "depth"),
    [
        (0.0, 2, 1), (0.0001, 2, 128), (0.001, 2, 20), (0.002, 2, 10), (0.008, 2, 2), (0.02, 2, 1), (1.0, 2, 1),
        (-1.0, 2, 1), (0.0001, 32, 16), (0.0001, 1000, 1), (0.0001, 0, 128),
    ],
)  # fmt: skip
def test_a_child_may_have_as_many_jobs_as_it_starts_within_20_ms(mean, children, depth):
    assert depth_for(mean, children) == depth


@given(st.floats(0, 1e6, allow_nan=False), st.integers(1, 1000))
def test_a_child_may_always_have_one_and_all_together_no_more_than_512(mean, children):
    assert 1 <= depth_for(mean, children) <= max(512 // children, 1)


@pytest.mark.parametrize(("mean", "held"), [(0.0, False), (-1.0, False), (0.001, True), (0.2, True), (0.3, False)])
def test_the_next_jobs_are_held_while_jobs_take_no_longer_than_200_ms(mean, held):
    assert holds_for(mean) == held


@pytest.fixture
def pool():
    """A pool with one child that never runs: its end of the channel is ours to read."""
    pool = Pool(Settings(worker_concurrency=1), Registry(), list)
    pool.children[1] = child = new_child(1)
    yield pool
    pool.close(child)


def new_child(pid):
    child = ChildHandle(
        pid, SupervisorEnd(), CapturedOutput(), Interrupt(), Claims(), jobs_left=100, born=0.0, ready=True
    )
    child.output.close_writer()
    return child


def running(number, envelope=b"{}", parents=None):
    job = FetchedJob(f"id-{number}", f"w.{number}", "echo", "normal", 1, envelope=envelope, parents=parents or {})
    return Running(job, "default", None, 3, 30.0, "w")


def child_of(pool):
    return pool.children[1]


def hand_out(pool, jobs, depth=16, now=0.0):
    """Hand out jobs; return those that nobody has room for."""
    backlog = deque(jobs)
    pool.hand_out(backlog, depth, now)
    return list(backlog)


@cache
def other_end(channel):
    return channel.child_end()


def read_whole(pool):
    """Read the next message as the child does."""
    return decode_assignments(other_end(child_of(pool).channel).receive())


def read(pool):
    """Read the next message; return its jobs' numbers."""
    return [each.number for each in read_whole(pool)]


def test_only_the_first_job_of_a_child_has_begun(pool):
    first, second = running(1), running(2)
    assert hand_out(pool, [first, second], now=100.0) == []
    assert (first.started, second.started) == (100.0, float("inf"))
    pool.finished(child_of(pool), 105.0)
    assert second.started == 105.0


def test_a_child_is_told_which_of_its_jobs_follow_others(pool):
    hand_out(pool, [running(1), running(2)])
    hand_out(pool, [running(3)])
    assert [each.follows for each in (*read_whole(pool), *read_whole(pool))] == [False, True, True]
    for _ in range(3):
        pool.finished(child_of(pool), 0.0)
    hand_out(pool, [running(4)])
    assert [each.follows for each in read_whole(pool)] == [False]


def test_what_was_said_before_an_idle_childs_next_job_is_not_in_its_log(pool):
    child_of(pool).output.close()
    child_of(pool).output = output = CapturedOutput()
    os.write(output.writer, b"too late\n")
    hand_out(pool, [running(1)])
    os.write(output.writer, b"in time\n")
    output.close_writer()
    output.read(1)
    assert output.tail(1) == "in time"


def test_a_child_needs_another_job_soon_until_its_own_takes_long(pool):
    assert pool.soon_free(0.0) == 0
    hand_out(pool, [running(1)], now=100.0)
    assert (pool.soon_free(100.1), pool.late_at(100.1)) == (1, 100.2)
    assert (pool.soon_free(100.2), pool.late_at(100.2)) == (0, float("inf"))


@pytest.mark.parametrize("change", [{"jobs_left": 1}, {"leaving": True}, {"killed": "cancel"}])
def test_a_child_that_goes_needs_no_other_job(pool, change):
    hand_out(pool, [running(1)], now=100.0)
    for name, value in change.items():
        setattr(child_of(pool), name, value)
    assert (pool.soon_free(100.1), pool.late_at(100.1)) == (0, float("inf"))


def test_gives_no_more_than_the_depth(pool):
    jobs = [running(number) for number in range(5)]
    assert hand_out(pool, jobs, depth=3) == jobs[3:]
    assert pool.capacity(3) == 0
    assert pool.capacity(5) == 2


def test_gives_to_the_child_with_the_fewest(pool):
    pool.children[2] = other = new_child(2)
    hand_out(pool, [running(1)], depth=1)
    assert (len(child_of(pool).jobs), len(other.jobs)) == (1, 0)
    hand_out(pool, [running(number) for number in range(5)])
    assert (len(child_of(pool).jobs), len(other.jobs)) == (3, 3)
    pool.close(other)


def test_jobs_that_are_given_together_come_in_one_packet(pool):
    hand_out(pool, [running(number) for number in range(10)])
    assert read(pool) == list(range(1, 11))


@pytest.mark.parametrize(
    "large",
    [
        pytest.param(running(1, b"x" * 100_000), id="a large envelope"),
        pytest.param(running(1, parents={"id-0": b"x" * 60_000}), id="a large result of a parent"),
        pytest.param(running(1, parents={f"{n:036d}": b"" for n in range(1000)}), id="many parents without a result"),
    ],
)
def test_a_large_job_comes_alone(pool, large):
    hand_out(pool, [running(1), large, running(3)])
    got = [read(pool)]
    while len(got) < 3:
        child_of(pool).channel.flush()
        got.append(read(pool))
    assert got == [[1], [2], [3]]


def test_takes_back_what_waits_behind_the_running_job(pool):
    jobs = [running(number) for number in range(4)]
    hand_out(pool, jobs)
    assert child_of(pool).claims.begin(1)
    assert pool.retract(child_of(pool), 0.0) == jobs[1:]
    assert list(child_of(pool).jobs) == jobs[:1]


def test_takes_back_the_first_too_when_the_child_has_not_begun_it(pool):
    jobs = [running(number) for number in range(3)]
    hand_out(pool, jobs)
    assert pool.retract(child_of(pool), 0.0) == jobs
    assert child_of(pool).jobs == deque()


def test_what_was_taken_back_is_never_begun_and_what_comes_later_is(pool):
    hand_out(pool, [running(number) for number in range(3)])
    claims = child_of(pool).claims
    assert claims.begin(1)
    pool.retract(child_of(pool), 0.0)
    assert not claims.begin(2)
    hand_out(pool, [running(7), running(8)])
    assert not claims.begin(3)
    assert claims.begin(4)
    assert [job.number for job in pool.retract(child_of(pool), 0.0)] == [5]
    assert not claims.begin(5)


def test_takes_nothing_back_while_the_child_claims_a_job(pool):
    jobs = [running(number) for number in range(3)]
    hand_out(pool, jobs)
    lock = child_of(pool).claims._lock
    with lock:
        assert pool.retract(child_of(pool), 0.0) == []
    assert pool.retract(child_of(pool), 0.0) == jobs


def test_a_leaving_child_goes_once_all_was_taken_back(pool):
    hand_out(pool, [running(1), running(2)])
    pool.dismiss(child_of(pool), 0.0)
    assert child_of(pool).killed == ""
    pool.retract(child_of(pool), 0.0)
    assert child_of(pool).killed == "leaving"


def test_looks_again_when_a_straggler_is_to_lose_what_waits_behind_it(pool):
    hand_out(pool, [running(1)], now=100.0)
    assert pool.wake_at() == 130.0
    hand_out(pool, [running(2)], now=100.0)
    assert pool.wake_at() == pytest.approx(100.05)
