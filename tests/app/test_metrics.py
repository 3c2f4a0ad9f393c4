"""What Prometheus reads: figures of the fleet from the server, of the API from all its processes, labels bounded."""

import re
from importlib.resources import files

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gopher.histogram import BOUNDS, cumulated
from tests.app.conftest import EMAIL


def scrape(api):
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    samples = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, "a series stands there twice"
            samples[key] = sample.value
    return samples


def value(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))), 0)


def test_counts_what_becomes_of_jobs(api, queue, worker):
    before = scrape(api)
    for _ in range(4):
        api.submit(queue=queue, priority="high")
    jobs = worker.fetch(3)
    worker.complete(jobs[:1])
    worker.retry(jobs[1])
    worker.dead_letter(jobs[2], "KeyError")
    after = scrape(api)

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("gopher_jobs_enqueued_total", job_type="email", priority="high") == 4
    assert grown("gopher_jobs_dequeued_total", job_type="email", priority="high") == 3
    assert grown("gopher_jobs_processed_total", job_type="email") == 1
    assert grown("gopher_jobs_retried_total", job_type="email") == 1
    assert grown("gopher_jobs_failed_total", job_type="email", error_type="KeyError") == 1
    assert grown("gopher_job_processing_duration_seconds_count", job_type="email") == 3
    assert grown("gopher_job_wait_duration_seconds_count", job_type="email") == 3
    assert grown("gopher_job_processing_duration_seconds_sum", job_type="email") == pytest.approx(0.0365)
    assert grown("gopher_job_processing_duration_seconds_bucket", job_type="email", le="0.025") == 3
    assert grown("gopher_job_processing_duration_seconds_bucket", job_type="email", le="0.01") == 0
    assert value(after, "gopher_queue_size", queue=queue, priority="high") == 1
    assert grown("gopher_dlq_size") == 1


def test_shows_all_figures_that_are_promised(api, queue):
    api.submit(queue=queue)
    names = {name for name, _ in scrape(api)}
    assert {
        "gopher_queue_size",
        "gopher_queue_oldest_age_seconds",
        "gopher_scheduled_queue_size",
        "gopher_dlq_size",
        "gopher_worker_count",
        "gopher_active_workers",
        "gopher_worker_utilization",
        "gopher_api_requests_total",
        "gopher_api_request_duration_seconds_count",
    } <= names


def test_types_that_are_not_registered_share_one_label(api, client, queue):
    before = value(scrape(api), "gopher_jobs_enqueued_total", job_type="other", priority="normal")
    for number in range(20):
        client.registry = None
        client.enqueue(f"made-up-{number}".replace("-", "_"), {}, queue=queue)
    samples = scrape(api)
    assert value(samples, "gopher_jobs_enqueued_total", job_type="other", priority="normal") == before + 20
    assert not [labels for _, labels in samples if "made_up" in str(labels)]


def test_counts_requests_by_route_known_method_and_status_over_all_processes(api, queue):
    def count(**labels):
        return value(scrape(api), "gopher_api_requests_total", **labels)

    cases = [
        ({"method": "GET", "path": "/api/v1/jobs/<job_id>", "status": "404"}, lambda: api.get("/api/v1/jobs/x")),
        ({"method": "GET", "path": "unmatched", "status": "404"}, lambda: api.get("/some/thing")),
        ({"method": "other", "path": "unmatched", "status": "405"}, lambda: api.request("BREW", "/")),
        ({"method": "POST", "path": "/api/v1/jobs", "status": "201"}, lambda: api.submit(queue=queue)),
        ({"method": "POST", "path": "/api/v1/jobs", "status": "400"}, lambda: api.submit(EMAIL, priority=1)),
        ({"method": "POST", "path": "/api/v1/jobs", "status": "415"}, lambda: api.post("/api/v1/jobs", data={"a": 1})),
    ]
    for labels, act in cases:
        before = count(**labels)
        for _ in range(10):
            act()
        assert count(**labels) == before + 10, labels


def test_the_bounds_are_those_that_the_scripts_count_into():
    lua = files("gopher.lua").joinpath("shared/observe.lua").read_text()
    assert tuple(map(int, re.search(r"BOUNDS = \{([^}]*)\}", lua)[1].split(","))) == BOUNDS


def test_buckets_are_cumulated_in_seconds():
    buckets, total = cumulated({"run:1": 2, "run:3": 1, f"run:{len(BOUNDS) + 1}": 1, "run:sum_us": 2_500_000}, "run")
    assert buckets[0] == ("0.001", 2)
    assert buckets[2] == ("0.005", 3)
    assert buckets[-2:] == [("1800", 3), ("+Inf", 4)]
    assert total == 2.5
