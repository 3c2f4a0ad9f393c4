"""The tables of states, priorities, counters and latencies fit together, and into what is public."""

import msgspec
import pytest

from gopher.base import counters, latencies, priorities, states
from gopher.base.states import State
from gopher.jobs.stats import QueueStats
from gopher.reads.timeline import Point


@pytest.mark.parametrize("state", State)
def test_a_state_waits_runs_or_has_ended(state):
    assert [state in each for each in (states.WAITING, states.RUNNING, states.ENDED)].count(True) == 1
    assert (state in states.CANCELLABLE) == (state not in states.ENDED)
    assert State(state.value) is state
    assert state.meaning.endswith(".")


def test_sets_of_states_are_consistent():
    assert states.UNSTARTED <= states.WAITING
    assert states.SUCCEEDED <= states.FINISHED
    assert states.FINISHED | states.DEAD == states.ENDED


def test_each_state_that_is_counted_has_a_figure_in_stats():
    fields = {field.name for field in msgspec.structs.fields(QueueStats)}
    assert set(states.COUNTED) <= fields


def test_each_counter_of_the_timeline_has_a_field_in_its_points():
    fields = {field.name for field in msgspec.structs.fields(Point)}
    assert set(counters.TIMELINE) <= fields
    assert {histogram.name for histogram in latencies.HISTOGRAMS} <= fields


def test_what_is_drawn_is_counted_over_time_and_in_stats():
    assert set(counters.PLOTTED) <= set(counters.TIMELINE)
    assert set(counters.PLOTTED) <= {"enqueued", *counters.OUTCOMES}


def test_each_final_state_is_counted():
    assert set(counters.LEAVING) >= states.FINISHED


def test_counters_have_names_and_metrics_of_their_own():
    names = [counter.name for counter in counters.COUNTERS]
    metrics = [counter.metric for counter in counters.COUNTERS if counter.metric]
    assert len(set(names)) == len(names)
    assert len(set(metrics)) == len(metrics)
    assert counters.field_of("enqueued", "email", "high") == "enqueued:email:high"
    assert counters.field_of("stale") == "stale"


def test_priorities_have_letters_and_turns_of_their_own():
    assert len(set(priorities.STRICT_ORDER)) == len(priorities.PRIORITIES)
    assert priorities.DEFAULT_PRIORITY in priorities.PRIORITIES
    assert all(turns > 0 for turns in priorities.TURNS.values())


def test_bounds_rise():
    assert list(latencies.BOUNDS) == sorted(set(latencies.BOUNDS))
