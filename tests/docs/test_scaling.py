"""The page about scaling says what was measured, and the model is as good as it says."""

import pytest

from benchmarks.model import page
from benchmarks.model.costs import EVENTS, FLOWS, STORED, costs_in, read
from benchmarks.model.plan import kinds, needs

#: How much the model may be off in trials that it was not fitted to.
ALLOWED = 0.15

FOUND = read()
COSTS = costs_in(FOUND)


def test_the_tables_of_the_page_are_those_of_the_measurement():
    text = page.PAGE.read_text()
    assert page.rewritten(text, FOUND) == text


def test_everything_has_a_cost():
    assert all(COSTS.flows[flow].keys() == EVENTS.keys() for flow in FLOWS)
    assert COSTS.memory.keys() == STORED.keys()
    assert all(amount >= 0 for costs in (*COSTS.flows.values(), COSTS.memory) for amount in costs.values())


@pytest.mark.parametrize("resource", [*FLOWS, "memory"])
@pytest.mark.parametrize("trial", FOUND["trials"])
def test_the_model_is_right_about_the_trials(trial, resource):
    figures = FOUND["trials"][trial][resource]
    assert figures["model"] == pytest.approx(figures["measured"], rel=ALLOWED)


def test_the_figures_of_the_model_are_sums_of_its_amounts():
    for run in [*FOUND["runs"].values(), *FOUND["trials"].values()]:
        for flow in FLOWS:
            assert COSTS.of(run["events"], flow) == pytest.approx(run[flow]["model"])


def test_ten_times_as_many_jobs_need_about_ten_times_as_much():
    for kind in kinds(COSTS):
        some, many = (needs(COSTS, kind, rate, 0.5, 3600.0) for rate in (10_000, 100_000))
        assert many.cores == pytest.approx(10 * some.cores)
        assert many.kept == pytest.approx(10 * some.kept)
        assert 8 * some.workers < many.workers <= 10 * some.workers
        assert many.queues >= many.nodes >= some.nodes
