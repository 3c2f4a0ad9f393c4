"""How many queues there may be, as clients of the API are told."""

import json

import pytest
from gopher.app import create_app

from gopher.client import Client
from gopher.config.settings import Settings


@pytest.fixture
def settings(redis_url, namespace):
    return Settings(redis_url=redis_url, namespace=namespace, max_queues=2)


@pytest.fixture
def client(settings):
    with Client(settings=settings) as client:
        yield client


@pytest.fixture
def api(settings, client):
    """An API whose two queues are taken."""
    for queue in ("a", "b"):
        client.enqueue("echo", {}, queue=queue)
    return create_app(settings).test_client()


def job(queue, **fields):
    return {"type": "math", "payload": {"operation": "prime", "number": 7}, "queue": queue, **fields}


def test_a_job_for_one_queue_more_is_refused(api, client):
    answer = api.post("/api/v1/jobs", json=job("c"))
    assert (answer.status_code, answer.json["code"], answer.json["field"]) == (400, "too_many_queues", "/queue")
    assert "GOPHER_MAX_QUEUES" in answer.json["details"]
    assert api.post("/api/v1/jobs?dry_run=1", json=job("c")).json["code"] == "too_many_queues"
    assert api.post("/api/v1/jobs", json=job("a")).status_code == 201
    assert client.server.queues() == ["a", "b"]


def test_a_schedule_for_one_queue_more_is_refused(api, client):
    recurring = job("c", recurring={"cron_expression": "0 0 * * *", "name": "nightly"})
    for answer in (
        api.post("/api/v1/jobs", json=recurring),
        api.put("/api/v1/schedules/nightly", json={**job("c"), "cron_expression": "0 0 * * *"}),
    ):
        assert (answer.status_code, answer.json["code"], answer.json["field"]) == (400, "too_many_queues", "/queue")
    assert client.schedules.all() == []


def test_a_batch_is_refused_whole_and_each_bad_job_is_named(api, client):
    answer = api.post("/api/v1/jobs/batch", json={"jobs": [job("a"), job("c"), job("d"), job("b")]})
    assert (answer.status_code, answer.json["code"]) == (400, "too_many_queues")
    rows = [(row["index"], row["field"], row["code"]) for row in answer.json["errors"]]
    assert rows == [(1, "/queue", "too_many_queues"), (2, "/queue", "too_many_queues")]
    assert client.stats().total_enqueued == 2


def test_of_a_body_of_lines_the_others_are_accepted(api, client):
    body = b"\n".join(json.dumps(job(queue)).encode() for queue in ("a", "c", "b", "c"))
    answer = api.post("/api/v1/jobs/batch", data=body, content_type="application/x-ndjson")
    assert (answer.status_code, answer.json["accepted"], answer.json["rejected"]) == (200, 2, 2)
    rows = [(row["line"], row["field"], row["code"]) for row in answer.json["errors"]]
    assert rows == [(2, "/queue", "too_many_queues"), (4, "/queue", "too_many_queues")]
    assert client.stats().total_enqueued == 4


def test_lines_that_may_be_repeated_are_refused_together_so_that_a_repeat_is_answered_alike(api, client):
    body = b"\n".join(json.dumps(job(queue)).encode() for queue in ("a", "c"))
    headers = {"Idempotency-Key": "k"}
    answer = api.post("/api/v1/jobs/batch", data=body, content_type="application/x-ndjson", headers=headers)
    assert (answer.status_code, answer.json["code"], answer.json["accepted"]) == (400, "too_many_queues", 0)
    assert client.stats().total_enqueued == 2


@pytest.fixture
def choosy(redis_url, namespace):
    """An API that allows two queues."""
    return create_app(Settings(redis_url=redis_url, namespace=namespace, queues=("a", "mail"))).test_client()


def test_a_job_for_a_queue_that_is_not_listed_is_refused_with_the_allowed_ones(choosy):
    for path in ("/api/v1/jobs", "/api/v1/jobs?dry_run=1"):
        answer = choosy.post(path, json=job("c"))
        assert (answer.status_code, answer.json["code"], answer.json["field"]) == (400, "unknown_queue", "/queue")
        assert answer.json["details"].startswith("is 'c', which is not an allowed queue: use one of a, mail,")
    # Neither is the default one.
    assert choosy.post("/api/v1/jobs", json={**job("a"), "queue": "default"}).json["code"] == "unknown_queue"
    assert choosy.post("/api/v1/jobs", json=job("mail")).status_code == 201
    assert choosy.post("/api/v1/queues/c/pause").json["code"] == "unknown_queue"


def test_a_queue_that_exists_and_is_not_listed_gets_no_more_jobs(choosy, client):
    client.enqueue("math", {}, queue="old")
    assert choosy.post("/api/v1/jobs", json=job("old")).json["code"] == "unknown_queue"
    assert choosy.get("/api/v1/queue/stats").json["queues"].keys() == {"old"}


def test_of_a_batch_each_job_for_a_queue_that_is_not_listed_is_named(choosy):
    answer = choosy.post("/api/v1/jobs/batch", json={"jobs": [job("a"), job("c"), job("mail"), job("d")]})
    assert (answer.status_code, answer.json["code"]) == (400, "unknown_queue")
    rows = [(row["index"], row["field"], row["code"]) for row in answer.json["errors"]]
    assert rows == [(1, "/queue", "unknown_queue"), (3, "/queue", "unknown_queue")]


def test_of_lines_those_for_queues_that_are_not_listed_are_rejected(choosy):
    body = b"\n".join(json.dumps(job(queue)).encode() for queue in ("c", "a"))
    answer = choosy.post("/api/v1/jobs/batch", data=body, content_type="application/x-ndjson")
    assert (answer.status_code, answer.json["accepted"]) == (200, 1)
    assert [row["code"] for row in answer.json["errors"]] == ["unknown_queue"]
    answer = choosy.post("/api/v1/jobs/batch", data=body[: body.index(b"\n")], content_type="application/x-ndjson")
    assert (answer.status_code, answer.json["code"]) == (400, "unknown_queue")


def test_a_schedule_for_a_queue_that_is_not_listed_is_refused(choosy):
    answer = choosy.put("/api/v1/schedules/nightly", json={**job("c"), "cron_expression": "0 0 * * *"})
    assert (answer.status_code, answer.json["code"]) == (400, "unknown_queue")


def test_a_limit_can_be_set_before_the_first_job(choosy):
    assert choosy.put("/api/v1/limits/math", json={"rate": "1/h"}).status_code == 200
    assert [view["queue"] for view in choosy.get("/api/v1/limits").json["limits"]] == ["a"]


def test_a_dry_run_of_a_batch_looks_things_up_once(api, client):
    def commands(count):
        before = client.server.client.info("stats")["total_commands_processed"]
        answer = api.post("/api/v1/jobs/batch?dry_run=1", json={"jobs": [job("a")] * count})
        assert len(answer.json["jobs"]) == count
        return client.server.client.info("stats")["total_commands_processed"] - before

    commands(1)
    assert commands(500) <= commands(5) + 50
