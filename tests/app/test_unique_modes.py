"""unique_mode: replace replaces and postpones the job with the unique key, reject refuses the new one."""

import asyncio
import json

import pytest

from gopher import AsyncClient
from gopher.api_client.client import HttpClient
from gopher.errors import DuplicateJob, InvalidJob
from gopher.jobs.submission import InvalidBatch, parse
from tests.app.conftest import EMAIL

NDJSON = {"Content-Type": "application/x-ndjson"}


def email(queue, body="first", **options):
    return {
        "type": "email",
        "payload": {**EMAIL, "body": body},
        "queue": queue,
        "unique_key": "k",
        "delay": "1h",
        **options,
    }


def replacing(queue, body, **options):
    return email(queue, body, unique_mode="replace", **options)


@pytest.fixture
def first(api, queue):
    """The id of a job with the unique key k."""
    answer = api.post("/api/v1/jobs", json=email(queue))
    assert answer.status_code == 201
    return answer.json()["job_id"]


def body_of(client, job_id):
    return json.loads(bytes(client.job(job_id).payload))["body"]


def test_a_single_submission_replaces_the_payload_and_is_answered_200(api, client, queue, first):
    answer = api.post("/api/v1/jobs", json=replacing(queue, "second", delay="2h", priority="high"))
    told = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (200, f"/api/v1/jobs/{first}")
    assert (told["job_id"], told["status"], told["priority"], told["replaced"]) == (first, "scheduled", "high", True)
    assert "duplicate" not in told
    assert body_of(client, first) == "second"
    assert client.stats().queues[queue].total_enqueued == 1


def test_the_first_submission_with_a_mode_is_created(api, queue):
    for mode in ("keep", "replace", "reject"):
        answer = api.post("/api/v1/jobs", json=email(queue, unique_mode=mode, unique_key=mode))
        assert (answer.status_code, "replaced" in answer.json()) == (201, False)


def test_a_repeat_with_the_same_idempotency_key_gets_the_same_answer(api, queue, first):
    headers = {"Idempotency-Key": f"again-{queue}"}
    told = [api.post("/api/v1/jobs", json=replacing(queue, "second"), headers=headers) for _ in range(2)]
    assert [(each.status_code, each.json()["job_id"], each.json()["replaced"]) for each in told] == [
        (200, first, True)
    ] * 2
    assert told[1].headers["Idempotent-Replayed"] == "true"


def test_a_batch_replaces_and_its_entries_may_refer_to_the_replaced_job(api, client, queue, first):
    child = {"type": "email", "payload": EMAIL, "queue": queue, "after": [0]}
    answer = api.post("/api/v1/jobs/batch", json={"jobs": [replacing(queue, "second"), child]})
    replaced, waiting = answer.json()["jobs"]
    assert (replaced["job_id"], replaced["replaced"]) == (first, True)
    record = client.server.client.hget(client.server.keys.for_queue(queue).job(waiting["job_id"]), "parents")
    assert record == first.encode()
    assert body_of(client, first) == "second"


def test_lines_replace_and_reject_each_for_itself(api, client, queue, first):
    lines = [replacing(queue, "second"), email(queue, unique_mode="reject"), email(queue, unique_key="free")]
    body = "\n".join(map(json.dumps, lines))
    answer = api.post("/api/v1/jobs/batch", content=body, headers={**NDJSON, "Accept": "application/x-ndjson"})
    replaced, rejected, new = map(json.loads, answer.text.splitlines())
    assert (answer.status_code, replaced["job_id"], replaced["replaced"]) == (200, first, True)
    assert (rejected["code"], rejected["field"], first in rejected["details"]) == ("duplicate", "/unique_key", True)
    assert client.job(new["job_id"]).status == "scheduled"
    only = api.post("/api/v1/jobs/batch", content=json.dumps(lines[1]), headers=NDJSON)
    assert (only.status_code, only.json()["code"]) == (409, "duplicate")


def test_a_rejected_submission_is_answered_409_with_the_unfinished_job(api, client, queue, first):
    answer = api.post("/api/v1/jobs", json=email(queue, "second", unique_mode="reject"))
    told = answer.json()
    assert (answer.status_code, told["code"], told["field"], told["job_id"]) == (409, "duplicate", "/unique_key", first)
    assert body_of(client, first) == "first"
    client.cancel(first)
    assert api.post("/api/v1/jobs", json=email(queue, unique_mode="reject")).status_code == 201


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_batch_with_one_that_is_rejected_stores_nothing_in_any_queue(api, client, queue, first, elsewhere):
    other = {"type": "email", "payload": EMAIL, "queue": f"{queue}-2" if elsewhere else queue}
    answer = api.post("/api/v1/jobs/batch", json={"jobs": [other, email(queue, unique_mode="reject")]})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, "duplicate")
    assert [(each["index"], each["code"]) for each in told["errors"]] == [(1, "duplicate")]
    assert sum(stats.total_enqueued for name, stats in client.stats().queues.items() if name.startswith(queue)) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"unique_mode": "newest"}, "/unique_mode"),
        ({"unique_mode": "replace", "unique_key": None}, "/unique_mode"),
        ({"unique_mode": "replace", "after": ["7c9e6679-7425-40de-944b-e07fc1f90ae7"]}, "/after"),
        ({"max_wait": "1m"}, "/max_wait"),
        ({"unique_mode": "reject", "max_wait": "1m"}, "/max_wait"),
        ({"unique_mode": "replace", "max_wait": 0}, "/max_wait"),
        ({"unique_mode": "replace", "recurring": {"cron_expression": "@daily"}}, "/unique_key"),
    ],
)
def test_an_invalid_mode_is_rejected_with_its_field(api, queue, fields, field):
    answer = api.post("/api/v1/jobs", json=email(queue, **fields, **({"delay": None} if "recurring" in fields else {})))
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_every_client_replaces_and_rejects(api, client, redis_url, api_namespace, queue, first):
    options = {"queue": queue, "unique_key": "k", "delay": "1h"}
    with HttpClient(str(api.base_url)) as http:
        for number, each in enumerate((client, http)):
            mine = {**EMAIL, "body": f"{number}"}
            assert each.enqueue("email", mine, unique_mode="replace", max_wait="2h", **options) == first
            assert body_of(client, first) == f"{number}"
            jobs = [
                {"type": "email", "payload": {**EMAIL, "body": f"many {number}"}, "unique_mode": "replace", **options}
            ]
            assert each.enqueue_many(jobs * 2) == [first, first]
            assert body_of(client, first) == f"many {number}"
            assert each.submit(parse(json.dumps(replacing(queue, "last")).encode())).replaced
            with pytest.raises(DuplicateJob) as caught:
                each.enqueue("email", mine, unique_mode="reject", **options)
            assert (caught.value.job_id, caught.value.field) == (first, "/unique_key")
            with pytest.raises(InvalidBatch):
                each.enqueue_many([*jobs, {**jobs[0], "unique_mode": "reject"}])

    async def asynchronously():
        async with AsyncClient(redis_url, namespace=api_namespace) as other:
            assert await other.enqueue("email", {**EMAIL, "body": "async"}, unique_mode="replace", **options) == first
            with pytest.raises(DuplicateJob):
                await other.enqueue("email", EMAIL, unique_mode="reject", **options)
            with pytest.raises(InvalidJob, match="must be one of keep, replace, reject"):
                await other.enqueue("email", EMAIL, unique_mode="newest", **options)

    asyncio.run(asynchronously())
    assert body_of(client, first) == "async"
