"""API, CLI, dashboard and metrics with one more priority and two more states (see test_one_more.py)."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gopher.cli.processes import gopherctl
from prometheus_client.parser import text_string_to_metric_families

from gopher.base.priorities import STRICT_ORDER
from gopher.client import Client
from gopher.config.settings import Settings
from tests.app.conftest import Api, running_api
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def api(redis_url, namespace, tmp_path) -> Iterator[Api]:
    with running_api(tmp_path, redis_url, GOPHER_NAMESPACE=namespace) as api:
        yield api


@pytest.fixture
def worker(client) -> SeedingWorker:
    client.server.register_queues("default")
    return SeedingWorker(client)


def ctl(client: Client, folder: Path, *arguments: str) -> str:
    environ = {
        **os.environ, "REDIS_URL": client.settings.redis_url, "GOPHER_NAMESPACE": client.settings.namespace,
    }  # fmt: skip
    done = subprocess.run(
        gopherctl(*arguments), env=environ, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def samples(api: Api) -> dict[tuple[str, str], float]:
    """Return the metrics by their name and the one label that tells them apart here."""
    found = {}
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            labels = sample.labels
            found[sample.name, labels.get("priority", labels.get("job_type", ""))] = sample.value
    return found


def move(client: Client, verb: str, *arguments: object) -> str:
    queue = client.server.queue("default")
    return client.server.run(queue._call(verb, arguments, bytes.decode))


def headings(page: str) -> list[str]:
    return re.findall(r"<th[^>]*>([^<]*)</th>", page)


def test_a_job_of_the_new_priority_goes_first_and_is_shown_everywhere(client, api, worker, tmp_path):
    api.submit(priority="high")
    urgent = api.submit(priority="urgent")
    assert urgent.status_code == 201, urgent.text
    assert api.submit(priority="more").json()["details"] == "must be one of urgent, high, normal, low"

    assert api.get("/api/v1/queue/stats").json()["queues"]["default"]["priorities"]["urgent"]["waiting"] == 1
    found = samples(api)
    assert found["gopher_queue_size", "urgent"] == 1
    assert found["gopher_jobs_enqueued_total", "urgent"] == 1
    for path in ("/dashboard", "/dashboard/queues"):
        assert "Urgent" in headings(api.get(path).text)
    assert ctl(client, tmp_path, "stats").split("\n")[0].split()[:4] == ["QUEUE", "URGENT", "HIGH", "NORMAL"]
    assert "urgent" in api.get("/openapi.json").text
    assert Settings().worker_priority_weights["urgent"] == 9

    ctl(client, tmp_path, "submit", "-t", "math", "-p", '{"operation": "prime", "number": 7}', "--priority", "urgent")
    # One job is in `next` already.
    ids = [worker.fetch()[0].priority for _ in range(3)]
    assert ids == ["high", "urgent", "urgent"]
    assert STRICT_ORDER == "uhnl"


def test_a_job_in_the_new_state_has_ended_for_all_of_gopher(client, api, tmp_path):
    job_id = client.enqueue("email", {"to": "a@example.com", "subject": "s", "body": "b"})
    child = client.enqueue("email", {"to": "a@example.com", "subject": "s", "body": "b"}, after=[job_id])
    assert move(client, "skip", job_id, 3_600_000) == "CANCELLED"

    assert client.wait(job_id, 0).status == "skipped"
    assert client.job(child).status == "failed"
    assert api.get(f"/api/v1/jobs/{job_id}?wait=20").json()["status"] == "skipped"
    assert api.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 409
    assert [job["job_id"] for job in api.get("/api/v1/jobs?status=skipped").json()["jobs"]] == [job_id]
    assert api.get("/api/v1/queue/stats").json()["queues"]["default"]["totals"]["skipped"] == 1
    assert samples(api)["gopher_jobs_skipped_total", "email"] == 1
    assert "Skipped" in headings(api.get("/dashboard/queues").text)
    assert "<option>skipped</option>" in api.get("/dashboard/jobs").text
    page = api.get(f"/dashboard/jobs/{job_id}").text
    assert 'class="status s-skipped is-finished tone-bright_black"' in page
    assert "Cancel this job?" not in page
    listed = json.loads(ctl(client, tmp_path, "list", "--status", "skipped", "--json"))
    assert [job["job_id"] for job in listed["jobs"]] == [job_id]


def test_a_job_in_the_other_new_state_waits_for_all_of_gopher(client, api, worker, tmp_path):
    ids = [client.enqueue("email", {"to": "a@example.com", "subject": "s", "body": "b"}) for _ in range(3)]
    for delay in (1, 3_600_000, 3_600_000):
        (job,) = worker.fetch()
        assert move(client, "postpone", worker.name, job.id, job.token, delay, 3_600_000) == "OK"

    # The first one comes back by itself.
    assert client.server.run(client.server.queue("default").promote()).moved == 1
    assert [client.job(job_id).status for job_id in ids] == ["pending", "postponed", "postponed"]
    assert api.get("/api/v1/queue/stats").json()["queues"]["default"]["postponed"] == 2
    assert len(api.get("/api/v1/jobs?status=postponed").json()["jobs"]) == 2
    assert samples(api)["gopher_postponed_queue_size", ""] == 2
    assert "Postponed" in headings(api.get("/dashboard").text)
    assert ctl(client, tmp_path, "stats").split("\n")[0].split()[8] == "POSTPONED"
    why = api.get(f"/api/v1/jobs/{ids[1]}/why").json()["reasons"]
    assert [reason["code"] for reason in why] == ["postponed"]
    assert api.post(f"/api/v1/jobs/{ids[1]}/cancel").json()["status"] == "cancelled"
    assert api.delete("/api/v1/queues/default?state=postponed").json() == {"count": 1}
