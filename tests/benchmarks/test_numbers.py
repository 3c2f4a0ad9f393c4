"""Medians and ratios as the report gives them."""

import pytest

from benchmarks.numbers import percentile, ratios, shown, spread


def test_a_spread_is_the_median_with_least_and_most():
    assert spread([30.0, 10.0, 20.0]) == (20.0, 10.0, 30.0)


def test_ratios_pair_the_values_of_one_round():
    # Twice as fast in each round, however fast the machine was in it.
    assert ratios([200.0, 20.0, 2.0], [100.0, 10.0, 1.0]) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_one_of_the_values(percent, value):
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_a_percentile_of_nothing_is_shown_as_nothing():
    assert shown(percentile([], 50)) == "-"


@pytest.mark.parametrize(
    ("value", "text"), [(34567.0, "34,600"), (1234.0, "1,230"), (999.4, "999"), (1.2345, "1.23"), (0.05, "0.05")]
)
def test_a_figure_has_three_digits(value, text):
    assert shown(value) == text
