"""What Prometheus reads: figures of the fleet from the server, of the API from all its processes, labels bounded."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gopher.base.latencies import BOUNDS
from gopher.client import Client
from gopher.reads.histogram import cumulated
from tests.app.conftest import EMAIL, running_api
from tests.app.metrics_lint import problems
from tests.seeding import SeedingWorker

#: interface.md of the design: what is promised, with its labels.
PROMISED = {
    "gopher_jobs_enqueued_total": {"job_type", "priority"},
    "gopher_jobs_dequeued_total": {"job_type", "priority"},
    "gopher_jobs_processed_total": {"job_type"},
    "gopher_jobs_failed_total": {"job_type", "error_type"},
    "gopher_jobs_retried_total": {"job_type"},
    "gopher_job_processing_duration_seconds_bucket": {"job_type", "le"},
    "gopher_job_wait_duration_seconds_bucket": {"job_type", "le"},
    "gopher_queue_size": {"queue", "priority"},
    "gopher_queue_oldest_age_seconds": {"queue"},
    "gopher_scheduled_queue_size": set(),
    "gopher_dlq_size": set(),
    "gopher_throttled_keys": set(),
    "gopher_tenants_waiting": set(),
    "gopher_batches": {"status"},
    "gopher_outbox_entries": set(),
    "gopher_worker_count": set(),
    "gopher_workers_needed": {"group"},
    "gopher_processes_needed": {"group"},
    "gopher_webhooks_disabled": set(),
    "gopher_active_workers": set(),
    "gopher_worker_utilization": set(),
    "gopher_schedule_overdue_seconds": {"schedule"},
    "gopher_api_requests_total": {"method", "path", "status"},
    "gopher_api_request_duration_seconds_bucket": {"method", "path", "le"},
    "gopher_up": set(),
}
#: What there is beyond that.
MORE = {
    "gopher_server_memory_bytes": {"server"},
    "gopher_server_maxmemory_bytes": {"server"},
    "gopher_server_may_evict": {"server"},
    "gopher_server_evicted_keys_total": {"server"},
    "gopher_server_appendonly": {"server"},
    "gopher_server_writes_failing": {"server"},
    "gopher_server_replicas": {"server"},
    "gopher_jobs_cancelled_total": {"job_type"},
    "gopher_jobs_expired_total": {"job_type"},
    "gopher_jobs_replaced_total": {"job_type"},
    "gopher_jobs_rescued_total": {"job_type"},
    "gopher_jobs_reclaimed_total": {"job_type"},
    "gopher_jobs_frozen_total": {"job_type"},
    "gopher_jobs_stuck": set(),
    "gopher_worker_memory_room_bytes": set(),
    "gopher_worker_memory_admitted_bytes": set(),
    "gopher_worker_memory_free_bytes": set(),
    "gopher_worker_jobs_held": set(),
    "gopher_outcomes_refused_total": {"job_type"},
    "gopher_records_removed_early_total": set(),
    "gopher_stale_results_total": set(),
    "gopher_retrying_queue_size": set(),
    "gopher_queue_paused": {"queue"},
    "gopher_type_paused": {"job_type"},
}
#: A name that is promised, though linters want no gauge to end like that.
KNOWN_PROBLEMS = ["gopher_worker_count ends in what histograms have"]
DEPLOY = Path(__file__).parents[2] / "deploy"


SECRET = "a secret of the monitoring"


def scrape(api, **options):
    answer = api.get("/metrics", **options)
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


def test_counts_outcomes_of_jobs(api, queue, worker):
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


@pytest.fixture(scope="module")
def busy(folder, redis_url):
    """An API of its own on which everything has happened once."""
    namespace = "busy-metrics"
    with (
        running_api(folder, redis_url, GOPHER_NAMESPACE=namespace) as api,
        Client(redis_url, namespace=namespace) as client,
    ):
        worker = SeedingWorker(client)
        client.server.register_queues("default")
        for _ in range(5):
            api.submit()
        done, retried, failed = worker.fetch(3)
        worker.complete([done])
        worker.retry(retried)
        worker.dead_letter(failed)
        api.post(f"/api/v1/jobs/{api.submit().json()['job_id']}/cancel")
        totals = client.server.keys.for_queue("default").totals
        for field in (
            "expired:email",
            "replaced:email",
            "rescued:email",
            "reclaimed:email",
            "frozen:email",
            "refused:email",
            "stale",
        ):
            client.server.client.hincrby(totals, field, 1)
        body = {"cron_expression": "0 0 1 1 *", "type": "email", "payload": EMAIL}
        for name in ("late", "in-time"):
            assert api.put(f"/api/v1/schedules/{name}", json=body).status_code == 201
        now = client.inspector.now()
        client.server.client.zadd(client.server.keys.for_queue("default").ticks, {"late": now - 60_000})
        yield api
        client.server.client.delete(*client.server.client.scan_iter(match=f"{namespace}:*", count=10_000))


def test_shows_all_figures_that_are_promised_with_their_labels(busy):
    labels = {name: {label for label, _ in values} for name, values in scrape(busy) if name.startswith("gopher_")}
    shown = {name: of for name, of in labels.items() if not re.search("seconds_(count|sum)$", name)}
    assert shown == PROMISED | MORE


def test_counts_jobs_that_run_for_longer_than_they_may(folder, redis_url):
    namespace = "stuck-metrics"
    with (
        running_api(folder, redis_url, GOPHER_NAMESPACE=namespace) as api,
        Client(redis_url, namespace=namespace) as client,
    ):
        client.server.register_queues("default")
        job_id = api.submit().json()["job_id"]
        SeedingWorker(client).fetch()
        assert value(scrape(api), "gopher_jobs_stuck") == 0
        client.server.client.hset(client.server.keys.for_queue("default").job(job_id), "started", 0)
        assert value(scrape(api), "gopher_jobs_stuck") == 1
        client.server.client.delete(*client.server.client.scan_iter(match=f"{namespace}:*", count=10_000))


def test_reports_how_late_schedules_are(busy):
    samples = scrape(busy)
    # It is late since the first test that needs it: on a busy machine that may be minutes ago.
    assert 60 <= value(samples, "gopher_schedule_overdue_seconds", schedule="late") < 1000
    assert samples[("gopher_schedule_overdue_seconds", (("schedule", "in-time"),))] == 0


def test_what_is_scraped_is_as_prometheus_wants_it(busy):
    text = busy.get("/metrics").text
    assert list(problems(text)) == KNOWN_PROBLEMS
    promtool = shutil.which("promtool")
    if promtool:
        said = subprocess.run([promtool, "check", "metrics"], input=text, text=True, check=False, capture_output=True)
        assert [line.split()[0] for line in said.stderr.splitlines()] == ["gopher_worker_count"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# HELP a_total x\n# TYPE a_total gauge\na_total 1\n", "ends in _total"),
        ("# TYPE a gauge\na 1\n", "no help"),
        ("# HELP a x\n# TYPE a gauge\na 1\na 2\n", "twice"),
        ("# HELP a_milliseconds x\n# TYPE a_milliseconds gauge\na_milliseconds 1\n", "in seconds"),
        (
            '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_count 1\nh_sum 1\n',
            "cumulated",
        ),
    ],
)
def test_the_rules_find_what_is_wrong(text, problem):
    assert any(problem in found for found in problems(text))


@pytest.mark.parametrize("name", ["gopher-alerts.yml", "grafana-dashboard.json"])
def test_rules_and_dashboard_name_metrics_that_there_are(busy, name):
    declared = set(re.findall(r"^# TYPE (gopher_\w+)", busy.get("/metrics").text, re.MULTILINE))
    named = set(re.findall(r"\bgopher_\w+", (DEPLOY / name).read_text()))
    assert {re.sub("_bucket$", "", metric) for metric in named} <= declared
    # Each is there for something.
    assert len(named) > 8


def test_a_server_that_is_unavailable_is_reported_once(folder):
    # Without a key, nobody could know whether the server keeps any.
    with running_api(folder, "redis://127.0.0.1:1", GOPHER_API_KEYS=f"prometheus:{SECRET}:read") as api:
        samples = scrape(api, headers={"Authorization": f"Bearer {SECRET}"})
        assert {name for name, _ in samples if not name.startswith("gopher_api_")} == {"gopher_up"}
        assert samples[("gopher_up", ())] == 0


def test_names_that_anybody_makes_up_add_no_series(folder, redis_url, namespace):
    with (
        running_api(folder, redis_url, GOPHER_NAMESPACE=namespace) as api,
        Client(redis_url, namespace=namespace) as client,
    ):
        for at in range(0, 10_000, 2000):
            client.enqueue_many({"type": f"type_{number}", "payload": {}} for number in range(at, at + 2000))
        for number in range(60):
            client.enqueue("email", {}, queue=f"queue-{number}")
        worker = SeedingWorker(client)
        for number, job in enumerate(worker.fetch(200)):
            worker.dead_letter(job, f"Error{number}")
        for number in range(300):
            api.request(f"METHOD{number}", "/api/v1/jobs")
            api.get(f"/page/{number}")
        samples = scrape(api)
        assert len(samples) < 500
        failed = [count for (name, _), count in samples.items() if name == "gopher_jobs_failed_total"]
        # Those that the script counts apart, and the rest as one.
        assert (len(failed), sum(failed)) == (51, 200)
        assert value(samples, "gopher_jobs_enqueued_total", job_type="other", priority="normal") == 10_000
        waiting = sum(count for (name, _), count in samples.items() if name == "gopher_queue_size")
        assert waiting == 10_060 - 200
        assert list(problems(api.get("/metrics").text)) == KNOWN_PROBLEMS


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


def test_buckets_are_cumulated_in_seconds():
    buckets, total = cumulated({"run:1": 2, "run:4": 1, f"run:{len(BOUNDS) + 1}": 1, "run:sum_us": 2_500_000}, "run")
    assert buckets[0] == ("0.0001", 2)
    assert buckets[3] == ("0.001", 3)
    assert buckets[-2:] == [("1800", 3), ("+Inf", 4)]
    assert total == 2.5
