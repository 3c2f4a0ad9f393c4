"""Shares of the priorities: exact, and spread evenly."""

from collections import Counter
from itertools import pairwise

import pytest
from gopher.worker.queue_side.priority_cycle import Turns, smooth_cycle
from hypothesis import given
from hypothesis import strategies as st

weights = st.fixed_dictionaries({name: st.integers(1, 12) for name in ("high", "normal", "low")})
NAMES = {"h": "high", "n": "normal", "l": "low"}


def drawn(turns, count):
    """Return the letters of the jobs that are given out while all priorities wait."""
    letters = ""
    for _ in range(count):
        letter = turns.order[0]
        turns.take(NAMES[letter])
        letters += letter
    return letters


def test_a_priority_that_there_is_not_has_no_turn():
    turns = Turns({"high": 5, "normal": 3, "low": 1})
    turns.take("urgent")
    assert turns.order == "hnhlhnhnh"


def test_spreads_5_3_1_as_evenly_as_it_goes():
    assert smooth_cycle({"high": 5, "normal": 3, "low": 1}) == "hnhlhnhnh"


def test_shares_without_a_common_divisor_make_the_shortest_cycle():
    assert smooth_cycle({"high": 50, "normal": 30, "low": 10}) == smooth_cycle({"high": 5, "normal": 3, "low": 1})


@given(weights, st.integers(0, 40))
def test_every_window_of_a_cycle_holds_each_priority_by_its_weight(weights, start):
    cycle = smooth_cycle(weights)
    letters = drawn(Turns(weights), start + len(cycle))
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
    turns = Turns(weights)
    for name in taken:
        turns.take(name)
    assert set(turns.order) == {"h", "n", "l"}


def test_a_priority_that_had_no_turn_left_in_the_cycle_takes_its_first_one():
    turns = Turns({"high": 5, "normal": 3, "low": 1})
    turns.take("low")
    assert turns.order == "hnhnhhnhl"
    # The low one is behind now; a second low job, which came by itself, goes once round.
    turns.take("low")
    assert turns.order == "hnhnhhnhl"
    turns.take("normal")
    assert turns.order == "hnhhnhlhn"


@pytest.mark.parametrize("taken", [[], ["low"], ["high", "normal"]])
def test_strict_order_never_moves(taken):
    turns = Turns("strict")
    for name in taken:
        turns.take(name)
    assert turns.strict
    assert turns.order == "hnl"
