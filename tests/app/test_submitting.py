"""POST /api/v1/jobs and .../batch: what is accepted, and that nothing is stored of what is not."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.app.conftest import EMAIL
from tests.helpers import wait_until


def stored(client, queue):
    return client.jobs(queue=queue, limit=500).jobs


def test_accepts_a_job_and_says_where_it_is(api, client, queue):
    answer = api.submit(priority="high", max_retries=3, queue=queue)
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/jobs/{body['job_id']}"
    assert {**body, "job_id": None, "created_at": None} == {
        "job_id": None,
        "status": "pending",
        "created_at": None,
        "type": "email",
        "queue": queue,
        "priority": "high",
    }
    assert [job.job_id for job in stored(client, queue)] == [body["job_id"]]


def test_a_job_for_later_is_scheduled(api, queue):
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    earlier = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert api.submit(queue=queue, delay="1h").json()["status"] == "scheduled"
    assert api.submit(queue=queue, execute_at=later).json()["status"] == "scheduled"
    assert api.submit(queue=queue, execute_at=earlier).json()["status"] == "pending"


def test_gives_a_payload_back_to_the_digit(api, queue):
    metadata = '{"exact": 12345678901234567890.123456789, "big": 99999999999999999999, "text": "\\u00e9\\ud83d\\ude00"}'
    body = f'{{"type":"email","queue":"{queue}","payload":{json.dumps(EMAIL)},"metadata":{metadata}}}'
    answer = api.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    text = api.get(answer.headers["Location"]).text
    assert metadata in text
    assert json.dumps(EMAIL) in text


@pytest.mark.parametrize(
    ("fields", "field", "remedy"),
    [
        ({"priority": "urgent"}, "/priority", "must be one of high, normal, low"),
        ({"priority": 1}, "/priority", "expected `str`"),
        ({"queue": "Not A Queue"}, "/queue", "must match"),
        ({"max_retries": -1}, "/max_retries", "from 0 to 100"),
        ({"max_retries": 101}, "/max_retries", "from 0 to 100"),
        ({"max_retries": "three"}, "/max_retries", "expected"),
        ({"timeout": 0}, "/timeout", "greater than 0"),
        ({"timeout": "25h"}, "/timeout", "maximum"),
        ({"timeout": "soon"}, "/timeout", "expected"),
        ({"delay": "-1s"}, "/delay", "expected"),
        ({"delay": "400d"}, "/delay", "maximum"),
        ({"delay": "1s", "execute_at": "2026-11-24T08:00:00Z"}, "/execute_at", "send one of them"),
        ({"execute_at": "tomorrow"}, "/execute_at", "RFC 3339"),
        ({"execute_at": "2026-11-24T08:00:00"}, "/execute_at", "offset"),
        ({"execute_at": "2999-01-01T00:00:00Z"}, "/execute_at", "maximum"),
        ({"expires_in": "0s"}, "/expires_in", "greater than 0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "in the past"),
        ({"expires_in": "1h", "expires_at": "2999-01-01T00:00:00Z"}, "/expires_at", "send one of them"),
        ({"retention": "400d"}, "/retention", "maximum"),
        ({"metadata": []}, "/metadata", "JSON object"),
        ({"metadata": {"note": "x" * 5000}}, "/metadata", "the maximum is 4096"),
        ({"colour": "red"}, "/colour", "remove it"),
        ({"type": "Not A Type"}, "/type", "must match"),
        ({"payload": []}, "/payload", "object"),
        ({"payload": None}, "/payload", "object"),
        ({"payload": {"subject": "Hello", "body": ""}}, "/payload/to", "is required"),
        ({"payload": {**EMAIL, "bcc_all": True}}, "/payload/bcc_all", "remove it"),
        ({"payload": {**EMAIL, "subject": 7}}, "/payload/subject", "expected `str`"),
    ],
)
def test_refuses_invalid_jobs_with_field_and_remedy_and_stores_nothing(api, client, queue, fields, field, remedy):
    answer = api.submit(**{"queue": queue, **fields})
    body = answer.json()
    assert answer.status_code == 400
    assert (body["code"], body["field"]) == ("invalid_job", field)
    assert remedy in body["details"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert stored(client, queue) == []


def test_refuses_an_unknown_type_and_names_the_known_ones(api, client, queue):
    answer = api.submit(queue=queue, type="e-mail-to-nowhere")
    if answer.json()["code"] == "invalid_job":
        answer = api.submit(queue=queue, type="nowhere")
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "unknown_type", "/type")
    assert "email" in answer.json()["details"]
    assert stored(client, queue) == []


@pytest.mark.parametrize("missing", ["type", "payload"])
def test_refuses_a_job_without_type_or_payload(api, missing):
    body = {"type": "email", "payload": EMAIL}
    del body[missing]
    answer = api.post("/api/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, f"/{missing}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"type":"email","payload":{"to":NaN}}',
        b'{"type":"email","payload":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"type":"email","payload":{"to":"\\ud800"}}',
    ],
)
def test_refuses_what_is_not_json(api, body):
    answer = api.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid_json", "invalid_job")


def test_refuses_a_payload_that_is_too_large(api, client, queue):
    answer = api.submit({**EMAIL, "body": "x" * (256 * 1024)}, queue=queue)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert answer.json()["field"] == "/payload"
    assert stored(client, queue) == []


def test_refuses_a_body_that_is_too_large_also_without_a_content_length(api):
    chunks = (b" " * 65536 for _ in range(40))
    for content in (b" " * (1024 * 1024 + 1), chunks):
        answer = api.post("/api/v1/jobs", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert "SERVER_MAX_BODY" in answer.json()["details"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_takes_json_only(api, headers):
    answer = api.post("/api/v1/jobs", content=json.dumps({"type": "email", "payload": EMAIL}), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "send" in answer.json()["details"]


def test_accepts_a_body_without_a_content_type(api, queue):
    body = json.dumps({"type": "email", "payload": EMAIL, "queue": queue}).encode()
    request = api.build_request("POST", "/api/v1/jobs", content=body)
    request.headers.pop("Content-Type", None)
    assert api.send(request).status_code == 201


def test_a_batch_is_answered_in_order(api, client, queue):
    jobs = [{"type": "email", "payload": {**EMAIL, "subject": str(number)}, "queue": queue} for number in range(50)]
    answer = api.post("/api/v1/jobs/batch", json={"jobs": jobs})
    ids = [job["job_id"] for job in answer.json()["jobs"]]
    assert answer.status_code == 201
    assert len(set(ids)) == 50
    subjects = {job.job_id: json.loads(bytes(job.payload))["subject"] for job in stored(client, queue)}
    assert [subjects[job_id] for job_id in ids] == [str(number) for number in range(50)]


def test_a_batch_with_bad_entries_names_each_and_stores_nothing(api, client, queue):
    good = {"type": "email", "payload": EMAIL, "queue": queue}
    jobs = [good, {**good, "priority": "urgent"}, good, {**good, "type": "nowhere"}, "text"]
    answer = api.post("/api/v1/jobs/batch", json={"jobs": jobs})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "invalid_job")
    assert [(each["index"], each["field"], each["code"]) for each in body["errors"]] == [
        (1, "/priority", "invalid_job"),
        (3, "/type", "unknown_type"),
        (4, None, "invalid_job"),
    ]
    assert stored(client, queue) == []


@pytest.mark.parametrize("body", [{"jobs": []}, {"jobs": {}}, {}, {"jobs": [], "partial": True}])
def test_refuses_a_batch_of_the_wrong_shape(api, body):
    assert api.post("/api/v1/jobs/batch", json=body).status_code == 400


def test_refuses_a_batch_of_too_many(api):
    answer = api.post("/api/v1/jobs/batch", content='{"jobs":[' + "1," * 10_000 + "1]}")
    assert (answer.status_code, answer.json()["field"]) == (400, "/jobs")


# Waiting


def finish_when_there(client, worker, act):
    """Let a worker take the next job of its queue as soon as there is one."""

    def run():
        jobs = wait_until(worker.fetch)
        act(jobs)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("how", ["parameter", "header"])
def test_a_client_that_waits_is_answered_with_the_finished_job(api, client, queue, worker, how):
    thread = finish_when_there(client, worker, worker.complete)
    body = {"type": "email", "payload": EMAIL, "queue": queue}
    if how == "parameter":
        answer = api.post("/api/v1/jobs?wait=20", json=body)
    else:
        answer = api.post("/api/v1/jobs", json=body, headers={"Prefer": "respond-async, wait=20"})
    thread.join()
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["result"]) == ("completed", {"ok": True})
    assert answer.headers["Location"].endswith(answer.json()["job_id"])


def test_a_wait_that_is_too_short_is_answered_with_the_unfinished_job(api, queue):
    started = time.monotonic()
    answer = api.post("/api/v1/jobs?wait=0.3", json={"type": "email", "payload": EMAIL, "queue": queue})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert 0.3 <= time.monotonic() - started < 5


def test_a_job_that_keeps_no_record_is_answered_as_accepted(api, client, queue, worker):
    thread = finish_when_there(client, worker, worker.complete)
    body = {"type": "email", "payload": EMAIL, "queue": queue, "retention": 0}
    answer = api.post("/api/v1/jobs?wait=20", json=body)
    thread.join()
    assert answer.status_code == 202


def test_waiting_for_a_job_that_is_there(api, client, queue, worker):
    job_id = api.submit(queue=queue).json()["job_id"]
    thread = finish_when_there(client, worker, lambda jobs: worker.dead_letter(jobs[0]))
    answer = api.get(f"/api/v1/jobs/{job_id}", params={"wait": "20"})
    thread.join()
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert answer.json()["error"]["type"] == "ValueError"


@pytest.mark.parametrize("wait", ["26", "-1", "long", ""])
def test_refuses_a_wait_it_can_not_keep(api, client, queue, wait):
    answer = api.post(f"/api/v1/jobs?wait={wait}", json={"type": "email", "payload": EMAIL, "queue": queue})
    assert (answer.status_code, answer.json()["field"]) == (400, "/wait")
    assert stored(client, queue) == []


def test_waiters_never_use_up_all_threads(api, queue):
    """Twice as many wait as there are threads in all processes; whoever gets no permit is answered at once."""
    job_id = api.submit(queue=queue).json()["job_id"]
    answers = []
    # One thread of httpx may close an idle connection that another one has just begun to use.
    alone = {"Connection": "close"}

    def wait():
        answers.append(api.get(f"/api/v1/jobs/{job_id}?wait=8", headers=alone).status_code)

    threads = [threading.Thread(target=wait) for _ in range(32)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    slowest = 0.0
    while time.monotonic() - started < 2:
        before = time.monotonic()
        assert api.get("/health/live", headers=alone).status_code == 200
        slowest = max(slowest, time.monotonic() - before)
    for thread in threads:
        thread.join()
    assert answers == [200] * 32
    assert slowest < 6
