"""What the API does to jobs that are there: cancel, retry, delete, purge."""

import re
from uuid import uuid4

import pytest

from gopher.jobs.job import new_job_id


def submit(api, queue, **fields):
    return api.submit(queue=queue, **fields).json()["job_id"]


def state(client, queue, job_id):
    return client.inspector.state(queue, job_id)


@pytest.fixture
def error_class() -> str:
    """A class of errors that no other test's dead letters have."""
    return f"Error{uuid4().hex[:8]}"


def bury(api, queue, worker, count, error):
    ids = [submit(api, queue) for _ in range(count)]
    for job in worker.fetch(count):
        worker.dead_letter(job, error)
    return ids


@pytest.mark.parametrize(("method", "path"), [("POST", "/cancel"), ("DELETE", "")])
def test_cancels_a_waiting_job_at_once(api, client, queue, method, path):
    job_id = submit(api, queue)
    answer = api.request(method, f"/api/v1/jobs/{job_id}{path}")
    assert (answer.status_code, answer.json()) == (200, {"job_id": job_id, "status": "cancelled"})
    assert state(client, queue, job_id) == "cancelled"


def test_asks_a_running_job_to_stop(api, client, queue, worker):
    job_id = submit(api, queue)
    worker.fetch()
    answer = api.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    heartbeat = client.server.run(worker.queue.heartbeat(worker.name, 60))
    assert heartbeat.cancelling == [job_id]


def test_does_not_cancel_what_has_ended_or_is_not_there(api, queue, worker):
    job_id = submit(api, queue)
    worker.complete(worker.fetch())
    answer = api.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "completed" in answer.json()["details"]
    assert api.delete(f"/api/v1/jobs/{new_job_id()}").status_code == 404


def test_shows_dead_letters_by_class_of_error(api, queue, worker, error_class):
    ids = bury(api, queue, worker, 3, error_class)
    first = api.get("/api/v1/dlq", params={"error": error_class, "limit": 2}).json()
    cursor = first["next_cursor"]
    rest = api.get("/api/v1/dlq", params={"error": error_class, "cursor": cursor}).json()
    assert first["total_count"] == 3
    assert sorted(job["job_id"] for job in first["jobs"] + rest["jobs"]) == sorted(ids)
    assert api.get("/api/v1/dlq", params={"error": error_class, "type": "report"}).json()["total_count"] == 0


def test_retries_one_dead_letter(api, client, queue, worker, error_class):
    (job_id,) = bury(api, queue, worker, 1, error_class)
    answer = api.post(f"/api/v1/dlq/{job_id}/retry")
    assert (answer.status_code, answer.json()) == (200, {"job_id": job_id, "status": "pending"})
    again = api.post(f"/api/v1/dlq/{job_id}/retry")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert api.post(f"/api/v1/dlq/{new_job_id()}/retry").status_code == 404


def test_retries_all_that_fit(api, client, queue, worker, error_class):
    ids = bury(api, queue, worker, 5, error_class)
    kept = bury(api, queue, worker, 1, "Other" + error_class)
    assert api.post("/api/v1/dlq/retry-all", json={"error": error_class, "limit": 2}).json() == {"count": 2}
    assert api.post("/api/v1/dlq/retry-all", json={"error": error_class, "type": "email"}).json() == {"count": 3}
    assert {state(client, queue, job_id) for job_id in ids} == {"pending"}
    assert state(client, queue, kept[0]) == "failed"


def test_retries_all_of_a_queue(api, queue, worker, error_class):
    bury(api, queue, worker, 2, error_class)
    assert api.post("/api/v1/dlq/retry-all", json={"queue": queue}).json() == {"count": 2}


def test_shows_the_groups_of_dead_letters_and_retries_one(api, client, queue, worker, error_class):
    ids = bury(api, queue, worker, 3, error_class)
    answer = api.get("/api/v1/dlq/groups", params={"queue": queue})
    (group,) = answer.json()["groups"]
    assert (answer.json()["total_count"], group["type"], group["error"], group["count"]) == (1, "email", error_class, 3)
    assert api.get("/api/v1/dlq", params={"group": group["group"], "queue": queue}).json()["total_count"] == 3
    assert api.post("/api/v1/dlq/retry-all", json={"group": group["group"], "limit": 2}).json() == {"count": 2}
    assert api.delete("/api/v1/dlq", params={"group": group["group"]}).json() == {"count": 1}
    assert sorted(str(state(client, queue, job_id)) for job_id in ids) == ["None", "pending", "pending"]
    assert api.get("/api/v1/dlq/groups", params={"limit": 0}).json()["field"] == "/limit"


def test_a_gradual_redrive_shows_its_progress_and_stops(api, client, queue, worker, error_class):
    ids = bury(api, queue, worker, 3, error_class)
    answer = api.post("/api/v1/dlq/retry-all", json={"error": error_class, "canary": 1, "rate": "5/s"})
    assert (answer.status_code, answer.json()["count"]) == (202, 3)
    redrive_id = answer.json()["redrive_id"]
    client.server.run(client.server.queue(queue).continue_redrives())
    rows = api.get("/api/v1/dlq/redrives").json()["redrives"]
    (shown,) = [each for each in rows if each["redrive_id"] == redrive_id]
    assert (shown["status"], shown["retried"], shown["total"], shown["rate"]) == ("canary", 1, 3, "5/s")
    stopped = api.post(f"/api/v1/dlq/redrives/{redrive_id}/stop").json()
    assert stopped == {"redrive_id": redrive_id, "stopped": True}
    assert [state(client, queue, job_id) for job_id in ids] == ["pending", "failed", "failed"]
    assert api.post("/api/v1/dlq/redrives/nothing/stop").status_code == 404
    assert api.post("/api/v1/dlq/retry-all", json={"error": "None" + error_class, "canary": 1}).json() == {"count": 0}


def test_the_old_names_of_redrives_answer_for_one_release_and_say_the_new_ones(api, queue, worker, error_class):
    bury(api, queue, worker, 2, error_class)
    redrive_id = api.post("/api/v1/dlq/retry-all", json={"error": error_class, "rate": "1/h"}).json()["retry_id"]
    listed = api.get("/api/v1/dlq/retries")
    new = [each for each in api.get("/api/v1/dlq/redrives").json()["redrives"] if each["redrive_id"] == redrive_id]
    old = [each for each in listed.json()["retries"] if each["retry_id"] == redrive_id]
    assert [{"redrive_id": each.pop("retry_id"), **each} for each in old] == new
    stopped = api.post(f"/api/v1/dlq/retries/{redrive_id}/stop")
    assert stopped.json() == {"retry_id": redrive_id, "stopped": True}
    for answer, successor in ((listed, "redrives"), (stopped, f"redrives/{redrive_id}/stop")):
        assert re.fullmatch(r"@\d+", answer.headers["Deprecation"])
        assert answer.headers["Link"] == f'</api/v1/dlq/{successor}>; rel="successor-version"'
    assert "Deprecation" not in api.get("/api/v1/dlq/redrives").headers


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"eror": "x"}, "/eror"),
        ({"limit": 0}, "/limit"),
        ({"limit": 2**80}, "/limit"),
        ({"canary": 2**80}, "/canary"),
        ({"type": 1}, "/type"),
        ({"canary": 0}, "/canary"),
        ({"canary": 101}, "/canary"),
        ({"rate": "fast"}, "/rate"),
        ([], None),
    ],
)
def test_refuses_a_retry_of_it_does_not_know_what(api, client, queue, worker, error_class, body, field):
    (job_id,) = bury(api, queue, worker, 1, error_class)
    answer = api.post("/api/v1/dlq/retry-all", json=body)
    assert answer.status_code == 400
    assert answer.json().get("field") == field
    assert state(client, queue, job_id) == "failed"


def test_deletes_dead_letters(api, client, queue, worker, error_class):
    one, *others = bury(api, queue, worker, 3, error_class)
    assert api.delete(f"/api/v1/dlq/{one}").json() == {"count": 1}
    assert api.delete(f"/api/v1/dlq/{one}").status_code == 404
    assert api.delete("/api/v1/dlq", params={"error": error_class}).json() == {"count": 2}
    assert [state(client, queue, job_id) for job_id in others] == [None, None]


def test_a_misspelt_filter_deletes_nothing(api, client, queue, worker, error_class):
    (job_id,) = bury(api, queue, worker, 1, error_class)
    answer = api.delete("/api/v1/dlq", params={"errror": error_class})
    assert (answer.status_code, answer.json()["field"]) == (400, "/errror")
    assert state(client, queue, job_id) == "failed"


def test_purges_what_waits_in_one_state(api, client, queue):
    waiting, later = [submit(api, queue) for _ in range(3)], submit(api, queue, delay="1h")
    assert api.delete(f"/api/v1/queues/{queue}", params={"state": "pending"}).json() == {"count": 3}
    assert [state(client, queue, job_id) for job_id in waiting] == [None] * 3
    assert state(client, queue, later) == "scheduled"


@pytest.mark.parametrize("parameters", [{}, {"state": "processing"}, {"state": "all"}, {"stat": "pending"}])
def test_refuses_to_purge_it_does_not_know_what(api, client, queue, parameters):
    job_id = submit(api, queue)
    assert api.delete(f"/api/v1/queues/{queue}", params=parameters).status_code == 400
    assert state(client, queue, job_id) == "pending"
