"""Shares of the priorities: exact, and spread evenly."""

from collections import Counter
from itertools import pairwise

import pytest
from gopher.worker.queue_side.priority_cycle import PriorityCycle, smooth_cycle
from hypothesis import given
from hypothesis import strategies as st

weights = st.fixed_dictionaries({name: st.integers(1, 12) for name in ("high", "normal", "low")})
NAMES = {"h": "high", "n": "normal", "l": "low"}


def drawn(cycle, count):
    """Return the letters of the jobs that are given out while all priorities wait."""
    letters = ""
    for _ in range(count):
        letter = cycle.order[0]
        cycle.take(NAMES[letter])
        letters += letter
    return letters


def test_a_priority_that_there_is_not_has_no_turn():
    cycle = PriorityCycle({"high": 5, "normal": 3, "low": 1})
    cycle.take("urgent")
    assert cycle.order == "hnhlhnhnh"


def test_spreads_5_3_1_as_evenly_as_it_goes():
    assert smooth_cycle({"high": 5, "normal": 3, "low": 1}) == "hnhlhnhnh"


def test_shares_without_a_common_divisor_make_the_shortest_cycle():
    assert smooth_cycle({"high": 50, "normal": 30, "low": 10}) == smooth_cycle({"high": 5, "normal": 3, "low": 1})


@given(weights, st.integers(0, 40))
def test_every_window_of_a_cycle_holds_each_priority_by_its_weight(weights, start):
    cycle = smooth_cycle(weights)
    letters = drawn(PriorityCycle(weights), start + len(cycle))
    shares = Counter(letters[start:])
    total = sum(weights.values())
    assert {name: shares[name[0]] * total for name in weights} == {
        name: weight * len(cycle) for name, weight in weights.items()
    }


@given(weights)
def test_no_priority_waits_for_much_longer_than_its_share_makes_it(weights):
    cycle = smooth_cycle(weights)
    total, twice = sum(weights.values()), cycle + cycle
    for name, weight in weights.items():
        places = [at for at, letter in enumerate(twice) if letter == name[0]]
        longest = max(later - at for at, later in pairwise(places))
        assert longest <= 2 * total / weight


@given(weights, st.lists(st.sampled_from(["high", "normal", "low"]), max_size=30))
def test_the_order_names_every_priority_whatever_was_taken(weights, taken):
    cycle = PriorityCycle(weights)
    for name in taken:
        cycle.take(name)
    assert set(cycle.order) == {"h", "n", "l"}


def test_a_priority_that_had_no_turn_left_in_the_cycle_takes_its_first_one():
    cycle = PriorityCycle({"high": 5, "normal": 3, "low": 1})
    cycle.take("low")
    assert cycle.order == "hnhnhhnhl"
    # The low one is behind now; a second low job, which came by itself, goes once round.
    cycle.take("low")
    assert cycle.order == "hnhnhhnhl"
    cycle.take("normal")
    assert cycle.order == "hnhhnhlhn"


@pytest.mark.parametrize("taken", [[], ["low"], ["high", "normal"]])
def test_strict_order_never_moves(taken):
    cycle = PriorityCycle("strict")
    for name in taken:
        cycle.take(name)
    assert cycle.strict
    assert cycle.order == "hnl"
