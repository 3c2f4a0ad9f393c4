"""What the API shows: jobs, pages, logs, types, figures, workers."""

import json

import pytest

from gopher.base.times import from_rfc3339
from gopher.jobs.job import new_job_id
from tests.helpers import wait_until


def test_shows_a_job_from_submission_to_result(api, queue, worker):
    job_id = api.submit(queue=queue, max_retries=5, timeout="10s", metadata={"order": 7}).json()["job_id"]
    worker.complete(worker.fetch())
    job = api.get(f"/api/v1/jobs/{job_id}").json()
    assert job["status"] == "completed"
    assert (job["max_retries"], job["timeout"], job["metadata"], job["attempts"]) == (5, 10.0, {"order": 7}, 1)
    assert (job["result"], job["error"], job["duration"]) == ({"ok": True}, None, 0.0125)
    assert job["worker"] == worker.name
    assert [row["outcome"] for row in job["history"]] == ["completed"]
    assert from_rfc3339(job["created_at"]) <= from_rfc3339(job["started_at"]) <= from_rfc3339(job["finished_at"])


def test_shows_each_attempt_of_a_job_that_waits_for_its_next(api, queue, worker):
    job_id = api.submit(queue=queue).json()["job_id"]
    worker.retry(worker.fetch()[0], delay=60)
    job = api.get(f"/api/v1/jobs/{job_id}").json()
    assert (job["status"], job["error"]["type"], len(job["history"])) == ("retrying", "ValueError", 1)
    assert from_rfc3339(job["execute_at"]) > from_rfc3339(job["started_at"])


@pytest.mark.parametrize("path", ["", "/logs", "?wait=1"])
def test_a_job_that_is_not_there_is_404(api, path):
    answer = api.get(f"/api/v1/jobs/{new_job_id()}{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("job_id", ["x", "..", "%00", "%0d%0a", "é", "0" * 300])
def test_an_id_that_is_none_is_404(api, job_id):
    assert api.get(f"/api/v1/jobs/{job_id}").status_code in (404, 400)


def test_shows_the_last_lines_that_a_job_logged(api, queue, worker):
    job_id = api.submit(queue=queue).json()["job_id"]
    lines = [[1_790_000_000_000 + number, f"line {number}"] for number in range(250)]
    worker.complete(worker.fetch(), log=json.dumps(lines).encode())
    shown = api.get(f"/api/v1/jobs/{job_id}/logs").json()
    assert len(shown["lines"]) == 200
    assert {**shown["lines"][-1], "time": None} == {"attempt": 1, "time": None, "line": "line 249"}


def test_pages_of_jobs_continue_by_cursor(api, queue):
    stored = [api.submit(queue=queue).json()["job_id"] for _ in range(5)]
    found, parameters = [], {"queue": queue, "limit": "2"}
    while True:
        page = api.get("/api/v1/jobs", params=parameters).json()
        found += [job["job_id"] for job in page["jobs"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert sorted(found) == sorted(stored)


def test_pages_are_filtered_by_status_and_type(api, queue, worker):
    api.submit(queue=queue)
    worker.complete(worker.fetch())
    waiting = api.submit(queue=queue).json()["job_id"]
    shown = api.get("/api/v1/jobs", params={"queue": queue, "status": "pending", "type": "email"}).json()
    assert [job["job_id"] for job in shown["jobs"]] == [waiting]
    assert api.get("/api/v1/jobs", params={"queue": queue, "type": "report"}).json()["jobs"] == []


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"status": "done"}, "/status"),
        ({"limit": "0"}, "/limit"),
        ({"limit": "501"}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"cursor": "nonsense"}, "/cursor"),
        ({"queue": "Not A Queue"}, "/queue"),
        ({"statsu": "failed"}, "/statsu"),
    ],
)
def test_refuses_a_query_it_does_not_understand(api, parameters, field):
    answer = api.get("/api/v1/jobs", params=parameters)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_describes_the_job_types_with_an_example_that_is_accepted(api, client, queue):
    shown = api.get("/api/v1/jobs/types").json()
    email = next(each for each in shown["types"] if each["name"] == "email")
    assert shown["job_types"]["email"] == email["description"] != ""
    assert email["payload_schema"]["$defs"]
    assert {"timeout", "max_retries", "rate_limit"} <= email.keys()
    body = json.loads(email["example"].split(" -d ")[1].strip("'"))
    assert body["type"] == "email"
    assert email["example"].startswith(f"curl {api.base_url}/api/v1/jobs ".replace("//api", "/api"))


def test_shows_figures_by_queue_and_priority(api, queue, worker):
    for priority in ("high", "low", "low"):
        api.submit(queue=queue, priority=priority)
    api.submit(queue=queue, delay="1h")
    worker.dead_letter(worker.fetch()[0])
    stats = api.get("/api/v1/queue/stats").json()
    mine = stats["queues"][queue]
    assert {name: figures["waiting"] for name, figures in mine["priorities"].items()} == {
        "high": 0,
        "normal": 0,
        "low": 2,
    }
    assert (mine["waiting"], mine["scheduled"], mine["failed"], mine["processing"]) == (2, 1, 1, 0)
    assert (mine["total_enqueued"], mine["total_dequeued"], mine["totals"]["failed"]) == (4, 1, 1)
    assert stats["queue_size"] >= 2
    assert stats["total_enqueued"] >= 4


def test_lists_workers(api):
    # One that a test before has shown is listed for a minute.
    wait_until(lambda: api.get("/api/v1/workers").json() == {"workers": []}, 90, "no workers")


def test_the_index_lists_the_parts_of_the_api(api):
    links = api.get("/").json()["links"]
    assert all(api.get(path).status_code == 200 for path in links.values())
