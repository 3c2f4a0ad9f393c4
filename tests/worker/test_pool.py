"""Which jobs a child is given, and which of them can be taken back."""

import os
from collections import deque
from functools import cache

import pytest
from gopher.worker.children.capture import CapturedOutput
from gopher.worker.children.handle import LOOK
from gopher.worker.messages import decode_assignments

from tests.worker.children import child_of, hand_out, new_child, running


@cache
def other_end(channel):
    return channel.child_end()


def read_whole(pool):
    """Read the next message as the child does."""
    return decode_assignments(other_end(child_of(pool).channel).receive())


def read(pool):
    """Read the next message; return its jobs' numbers."""
    return [each.number for each in read_whole(pool)]


def test_only_the_first_job_of_a_child_has_started(pool):
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


def test_what_was_given_before_an_idle_childs_next_job_is_not_in_its_log(pool):
    child_of(pool).output.close()
    child_of(pool).output = output = CapturedOutput()
    os.write(output.writer, b"too late\n")
    hand_out(pool, [running(1)])
    os.write(output.writer, b"in time\n")
    output.close_writer()
    output.read(1)
    assert output.lines(1) == ["in time"]


def test_gives_no_more_than_the_depth(pool):
    jobs = [running(number) for number in range(5)]
    assert hand_out(pool, jobs, depth=3) == jobs[3:]
    assert (child_of(pool).room(3), child_of(pool).room(5)) == (0, 2)


def test_gives_to_the_child_with_the_fewest(pool):
    pool.children[2] = other = new_child()
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


def test_takes_back_the_first_too_when_the_child_has_not_started_it(pool):
    jobs = [running(number) for number in range(3)]
    hand_out(pool, jobs)
    assert pool.retract(child_of(pool), 0.0) == jobs
    assert child_of(pool).jobs == deque()


def test_what_was_taken_back_is_never_started_and_what_comes_later_is(pool):
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
    assert pool.wake_at() == 100.0 + LOOK
    hand_out(pool, [running(2)], now=100.0)
    assert pool.wake_at() == pytest.approx(100.05)


def test_children_that_never_get_ready_are_still_started_after_a_thousand_of_them(pool):
    child = child_of(pool)
    child.ready = False
    for _ in range(1100):
        pool._note_death(child, 100.0)
    assert pool._spawn_at == 110.0
