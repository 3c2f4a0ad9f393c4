"""Autoscaling by Gopher's answer: an hour of mixed load in the simulation, and what the page says of all hours."""

import pytest

from benchmarks.capacity import page, results
from benchmarks.capacity.results import by
from benchmarks.capacity.workload import HOURS, arrivals

FOUND = results.read()


def test_an_hour_of_mixed_load_starts_in_time_with_few_processes_and_by_queue_latency_alone_later():
    jobs = arrivals(HOURS["mixed"], 11)
    ours, latency = by(jobs, "capacity"), by(jobs, "latency")
    assert ours.share_within(60.0) >= 0.95
    # No schedule can do with less than the work itself.
    assert ours.process_seconds <= 1.3 * sum(job.seconds for job in jobs)
    assert latency.share_within(60.0) < ours.share_within(60.0)


def test_the_page_says_what_was_found():
    text = page.PAGE.read_text()
    assert page.rewritten(text, FOUND) == text


def test_the_real_run_and_the_simulation_agree():
    real, model = FOUND["real"]["real"], FOUND["real"]["model"]
    assert real["interrupted"] == 0
    assert min(real["within"], model["within"]) >= 0.95
    assert model["process_seconds"] == pytest.approx(real["process_seconds"], rel=0.2)
