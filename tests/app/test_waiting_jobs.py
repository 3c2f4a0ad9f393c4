"""Acting on jobs that wait over HTTP, and ids that submitters choose."""

from uuid import uuid4

from gopher import HttpClient
from tests.app.conftest import EMAIL


def test_a_job_under_a_chosen_id_is_accepted_once_and_anything_else_is_a_conflict(api, client, queue):
    chosen = str(uuid4())
    first, again = (api.submit(queue=queue, job_id=chosen) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["job_id"], again.json()["duplicate"], again.json()["status"]) == (chosen, True, "pending")
    other = api.submit(queue=queue, job_id=chosen, priority="high")
    assert (other.status_code, other.json()["code"], other.json()["field"]) == (409, "job_id_taken", "/job_id")
    lines = [b'{"type":"email","payload":{},"job_id":"%s"}' % chosen.encode(), b'{"type":"cleanup","payload":{}}']
    bulk = api.post(
        "/api/v1/jobs/batch", content=b"\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
    ).json()
    assert bulk["accepted"] <= 1
    assert api.submit(queue=queue, job_id="1").json()["field"] == "/job_id"


def test_waiting_jobs_are_run_moved_and_copied(api, client, queue, worker):
    job_id = api.submit(queue=queue, delay="1h").json()["job_id"]
    moved = api.post(f"/api/v1/jobs/{job_id}/move", json={"priority": "low"})
    assert moved.json() == {"job_id": job_id, "queue": queue, "priority": "low"}
    copied = api.post(f"/api/v1/jobs/{job_id}/copy", json={"payload": {**EMAIL, "subject": "again"}})
    assert copied.status_code == 201
    copy = api.get(copied.headers["Location"]).json()
    assert (copy["copied_from"], copy["payload"]["subject"]) == (job_id, "again")
    assert api.post(f"/api/v1/jobs/{job_id}/copy", json={"payload": {"to": 1}}).json()["field"].startswith("/payload")
    assert api.post(f"/api/v1/jobs/{job_id}/run").json() == {"job_id": job_id, "status": "pending"}
    with HttpClient(str(api.base_url)) as remote:
        assert remote.job(remote.waiting.copy(job_id)).payload == remote.job(job_id).payload
        assert remote.job(remote.waiting.copy(job_id, EMAIL, priority="high")).priority == "high"
        assert remote.waiting.move(job_id, priority="normal").priority == "normal"
    worker.fetch(5)
    for action in ("run", "move"):
        answer = api.post(f"/api/v1/jobs/{job_id}/{action}", json={"priority": "high"} if action == "move" else None)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_a_cancellation_of_many_jobs_is_started_shown_and_stopped(api, client, queue):
    job_id = api.submit(queue=queue).json()["job_id"]
    started = api.post("/api/v1/jobs/cancel", json={"queue": queue, "type": "email"})
    assert (started.status_code, started.json()["to_look_at"]) == (202, 1)
    cancellation_id = started.json()["cancellation_id"]
    shown = api.get("/api/v1/jobs/cancellations").json()["cancellations"]
    assert [each["queue"] for each in shown if each["cancellation_id"] == cancellation_id] == [queue]
    assert api.post(f"/api/v1/jobs/cancellations/{cancellation_id}/stop").json()["stopped"] is True
    assert client.job(job_id).status == "pending"
    assert api.post(f"/api/v1/jobs/cancellations/{uuid4()}/stop").status_code == 404
