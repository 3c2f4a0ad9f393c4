"""API, CLI, dashboard and metrics with one more priority and two more states (see test_one_more.py)."""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from gopher.cli.processes import gopherctl
from prometheus_client.parser import text_string_to_metric_families

from gopher.base.priorities import STRICT_ORDER
from gopher.client import Client
from gopher.config.settings import Settings
from tests.app.conftest import EMAIL, Api, running_api
from tests.seeding import SeedingWorker


@pytest.fixture(scope="module")
def client(redis_url) -> Iterator[Client]:
    with Client(redis_url, namespace="one-more") as client:
        client.server.register_queues("urgent", "ended", "waiting")
        yield client


@pytest.fixture(scope="module")
def api(client, tmp_path_factory) -> Iterator[Api]:
    folder, url = tmp_path_factory.mktemp("api"), client.settings.redis_url
    with running_api(folder, url, GOPHER_NAMESPACE=client.settings.namespace) as api:
        yield api


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
    """Return the metrics, added up by their name and the one label that tells them apart here."""
    found = Counter()
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            labels = sample.labels
            found[sample.name, labels.get("priority", labels.get("job_type", ""))] += sample.value
    return found


def move(client: Client, queue: str, verb: str, *arguments: object) -> str:
    return client.server.run(client.server.queue(queue)._call(verb, arguments, bytes.decode))


def headings(page: str) -> list[str]:
    return re.findall(r"<th[^>]*>([^<]*)</th>", page)


def test_a_job_of_the_new_priority_goes_first_and_is_shown_everywhere(client, api, tmp_path):
    api.submit(priority="high", queue="urgent")
    urgent = api.submit(priority="urgent", queue="urgent")
    assert urgent.status_code == 201, urgent.text
    assert "urgent, high, normal, low" in api.submit(priority="more").json()["details"]

    assert api.get("/api/v1/queue/stats").json()["queues"]["urgent"]["priorities"]["urgent"]["waiting"] == 1
    found = samples(api)
    assert found["gopher_queue_size", "urgent"] == 1
    assert found["gopher_jobs_enqueued_total", "urgent"] == 1
    for path in ("/dashboard", "/dashboard/queues"):
        assert "Urgent" in headings(api.get(path).text)
    assert ctl(client, tmp_path, "stats").split("\n")[0].split()[:4] == ["QUEUE", "URGENT", "HIGH", "NORMAL"]
    assert "urgent" in api.get("/openapi.json").text
    assert Settings().worker_priority_weights["urgent"] == 9

    words = "submit --queue urgent --priority urgent --type math --payload"
    ctl(client, tmp_path, *words.split(), '{"operation": "prime", "number": 7}')
    # One job is in `next` already.
    worker = SeedingWorker(client, "urgent")
    assert [worker.fetch()[0].priority for _ in range(3)] == ["high", "urgent", "urgent"]
    assert STRICT_ORDER == "uhnl"


def test_a_job_in_the_new_state_has_ended_for_all_of_gopher(client, api, tmp_path):
    job_id = client.enqueue("email", EMAIL, queue="ended")
    child = client.enqueue("email", EMAIL, queue="ended", after=[job_id])
    assert move(client, "ended", "skip", job_id, 3_600_000) == "CANCELLED"

    assert client.wait(job_id, 0).status == "skipped"
    assert client.job(child).status == "failed"
    assert api.get(f"/api/v1/jobs/{job_id}?wait=20").json()["status"] == "skipped"
    assert api.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 409
    assert [job["job_id"] for job in api.get("/api/v1/jobs?status=skipped").json()["jobs"]] == [job_id]
    assert api.get("/api/v1/queue/stats").json()["queues"]["ended"]["totals"]["skipped"] == 1
    assert samples(api)["gopher_jobs_skipped_total", "email"] == 1
    assert "Skipped" in headings(api.get("/dashboard/queues").text)
    assert "<option>skipped</option>" in api.get("/dashboard/jobs").text
    page = api.get(f"/dashboard/jobs/{job_id}").text
    assert 'class="status s-skipped is-finished tone-bright_black"' in page
    assert "Cancel this job?" not in page
    listed = json.loads(ctl(client, tmp_path, "jobs", "--status", "skipped", "--json"))
    assert [job["job_id"] for job in listed["jobs"]] == [job_id]


def test_a_job_in_the_other_new_state_waits_for_all_of_gopher(client, api, tmp_path):
    worker = SeedingWorker(client, "waiting")
    ids = [client.enqueue("email", EMAIL, queue="waiting") for _ in range(3)]
    for delay in (1, 3_600_000, 3_600_000):
        (job,) = worker.fetch()
        assert move(client, "waiting", "postpone", worker.name, job.id, job.token, delay, 3_600_000) == "OK"

    # The first one comes back by itself.
    assert client.server.run(client.server.queue("waiting").promote()).moved == 1
    assert [client.job(job_id).status for job_id in ids] == ["pending", "postponed", "postponed"]
    assert api.get("/api/v1/queue/stats").json()["queues"]["waiting"]["postponed"] == 2
    assert len(api.get("/api/v1/jobs?status=postponed").json()["jobs"]) == 2
    assert samples(api)["gopher_postponed_queue_size", ""] == 2
    assert "Postponed" in headings(api.get("/dashboard").text)
    assert ctl(client, tmp_path, "stats").split("\n")[0].split()[8] == "POSTPONED"
    why = api.get(f"/api/v1/jobs/{ids[1]}/why").json()["reasons"]
    assert [reason["code"] for reason in why] == ["postponed"]
    assert api.post(f"/api/v1/jobs/{ids[1]}/cancel").json()["status"] == "cancelled"
    assert api.delete("/api/v1/queues/waiting?state=postponed").json() == {"count": 1}
