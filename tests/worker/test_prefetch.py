"""How far a worker fetches ahead."""

import pytest
from gopher.worker.crew import Crew
from gopher.worker.prefetch import LONGEST_REST, PLENTY, Prefetch, depth_for, holds_for, to_ask_for
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.children import child_of, hand_out, running


@pytest.fixture
def prefetch(pool):
    """What is to be fetched for the children of a pool, while jobs take 10 ms."""
    prefetch = Prefetch(pool.children)
    prefetch.learn(0.01)
    return prefetch


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


def test_a_child_needs_another_job_soon_unless_its_own_is_slow(pool, prefetch):
    assert prefetch.held(0.0) == 0
    hand_out(pool, [running(1)], now=100.0)
    assert (prefetch.held(100.1), prefetch.held_until(100.1)) == (1, 100.2)
    assert (prefetch.held(100.2), prefetch.held_until(100.2)) == (0, float("inf"))


@pytest.mark.parametrize("change", [{"jobs_left": 1}, {"leaving": True}, {"killed": "cancel"}])
def test_a_child_that_goes_needs_no_other_job(pool, prefetch, change):
    hand_out(pool, [running(1)], now=100.0)
    for name, value in change.items():
        setattr(child_of(pool), name, value)
    assert (prefetch.held(100.1), prefetch.held_until(100.1)) == (0, float("inf"))


def test_the_first_job_reports_how_long_the_others_take_until_they_have_ended(prefetch):
    assert prefetch.depth == 2
    for _ in range(100):
        prefetch.learn(0.001)
    assert prefetch.depth == 19


def test_a_child_of_which_nothing_is_known_is_given_one_job(pool):
    prefetch = Prefetch(pool.children)
    assert (prefetch.depth, prefetch.room(), prefetch.held(0.0)) == (1, 1, 0)


def test_a_child_may_keep_what_it_starts_within_200_ms(pool):
    prefetch = Prefetch(pool.children)
    assert prefetch.most_queued == float("inf")
    prefetch.learn(0.01)
    assert prefetch.most_queued == pytest.approx(20)


def test_what_a_child_will_not_start_within_200_ms_is_taken_back(pool):
    crew, jobs = Crew(pool), [running(number) for number in range(16)]
    hand_out(pool, jobs)
    assert child_of(pool).claims.begin(1)
    crew.prefetch.learn(0.0001)
    crew.take_from_stragglers(0.0)
    assert not crew.backlog
    # They turn out to take 15 ms: 13 of them are started within 0.2 s.
    for _ in range(100):
        crew.prefetch.learn(0.015)
    crew.take_from_stragglers(0.0)
    assert (list(child_of(pool).jobs), list(crew.backlog)) == (jobs[:1], jobs[1:])


def test_there_is_room_for_what_the_children_may_have_beyond_what_they_have(pool, prefetch):
    assert prefetch.room() == 2
    hand_out(pool, [running(1)])
    assert prefetch.room() == 1
    child_of(pool).straggles = True
    assert prefetch.room() == 0


def test_nothing_is_held_for_children_that_are_busy_with_long_jobs(pool):
    prefetch = Prefetch(pool.children)
    prefetch.learn(1.0)
    hand_out(pool, [running(1)], now=100.0)
    assert prefetch.held(100.1) == 0


@pytest.mark.parametrize(
    ("room", "held", "asked"), [(3, 0, 3), (0, 0, 0), (-2, 0, 0), (0, 4, 4), (-1, 4, 3), (-2, 4, 0), (-5, 4, 0)]
)
def test_jobs_that_are_held_are_replaced_once_more_than_half_of_them_are_gone(room, held, asked):
    assert to_ask_for(room, held) == asked


def test_outcomes_gather_only_while_every_child_has_plenty_to_do(pool, prefetch):
    hand_out(pool, [running(number) for number in range(PLENTY - 1)])
    assert prefetch.rest() == 0.0
    hand_out(pool, [running(PLENTY)])
    assert 0.0 < prefetch.rest() <= LONGEST_REST
