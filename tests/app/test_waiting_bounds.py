"""Bounds on waiting jobs, as clients of the API are told: 429, which jobs do not fit, and nothing lost."""

import json
from uuid import uuid4

import pytest

from gopher.api_client.client import HttpClient
from gopher.client import Client
from gopher.errors import QueueLimit
from gopher.jobs.submission import InvalidBatch
from tests.app.conftest import running_api
from tests.seeding import SeedingWorker

MATH = {"type": "math", "payload": {"operation": "prime", "number": 7}}
KEYS = "shop:shop-secret:submit,blog:blog-secret:submit"


@pytest.fixture(scope="module")
def bounds_namespace():
    return f"bounds-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def api(folder, redis_url, bounds_namespace):
    """An API on which four jobs may wait in a queue, three of them of one owner."""
    variables = {"GOPHER_API_KEYS": KEYS, "GOPHER_MAX_WAITING": "4", "GOPHER_MAX_WAITING_PER_OWNER": "3"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE=bounds_namespace, **variables) as api:
        yield api


@pytest.fixture(scope="module")
def client(redis_url, bounds_namespace):
    with Client(redis_url, namespace=bounds_namespace) as client:
        yield client


def ask(api, path, owner="shop", **more):
    headers = {"Authorization": f"Bearer {owner}-secret", **more.pop("headers", {})}
    return api.post(path, headers=headers, **more)


def fill(api, queue, count=3):
    for _ in range(count):
        assert ask(api, "/api/v1/jobs", json={**MATH, "queue": queue}).status_code == 201


def test_a_job_too_many_is_refused_with_429_until_another_one_starts(api, client, queue):
    fill(api, queue)
    job = {**MATH, "queue": queue}
    for path in ("/api/v1/jobs", "/api/v1/jobs?wait=1", "/api/v1/jobs?dry_run=1"):
        answer = ask(api, path, json=job)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (429, "queue_limit", "/queue")
        assert "GOPHER_MAX_WAITING_PER_OWNER" in answer.json()["details"]
        assert int(answer.headers["Retry-After"]) >= 1
    assert ask(api, "/api/v1/jobs", "blog", json=job).status_code == 201
    answer = ask(api, "/api/v1/jobs", "blog", json=job)
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_limit")
    assert "(GOPHER_MAX_WAITING)" in answer.json()["details"]
    SeedingWorker(client, queue).fetch()
    assert ask(api, "/api/v1/jobs", json=job).status_code == 201


def test_a_batch_too_large_is_refused_whole_and_a_repeat_of_it_may_fit(api, client, queue):
    fill(api, queue, 1)
    body = {"jobs": [{**MATH, "queue": queue}] * 3}
    key = {"Idempotency-Key": f"batch-{queue}"}
    answer = ask(api, "/api/v1/jobs/batch", json=body, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_limit")
    assert [(row["index"], row["code"]) for row in answer.json()["errors"]] == [(2, "queue_limit")]
    assert client.stats().queues[queue].waiting == 1
    SeedingWorker(client, queue).fetch()
    assert ask(api, "/api/v1/jobs/batch", json=body, headers=key).status_code == 201
    again = ask(api, "/api/v1/jobs/batch", json=body, headers=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert client.stats().queues[queue].waiting == 3


@pytest.mark.parametrize("key", [None, "lines"])
def test_lines_that_do_not_fit_are_named_and_the_others_are_accepted(api, client, queue, key):
    other = f"{queue}-2"
    lines = [{**MATH, "queue": queue}] * 4 + [{**MATH, "queue": "No Queue"}, {**MATH, "queue": other}]
    headers = {"Content-Type": "application/x-ndjson", **({"Idempotency-Key": f"{key}-{queue}"} if key else {})}
    body = "\n".join(map(json.dumps, lines))
    answer = ask(api, "/api/v1/jobs/batch", content=body, headers=headers)
    found = answer.json()
    assert (answer.status_code, found["lines"], found["accepted"], found["rejected"]) == (200, 6, 4, 2)
    assert [(row["line"], row["code"]) for row in found["errors"]] == [(4, "queue_limit"), (5, "invalid_job")]
    assert client.stats().queues[queue].waiting == 3
    if key:
        SeedingWorker(client, queue).fetch(3)
        again = ask(api, "/api/v1/jobs/batch", content=body, headers=headers).json()
        assert again == found
        assert client.stats().queues[queue].waiting == 0
    rows = ask(api, "/api/v1/jobs/batch", content=body, headers={**headers, "Accept": "application/x-ndjson"})
    assert [json.loads(row)["line"] for row in rows.text.splitlines()] == [1, 2, 3, 4, 5, 6]


def test_lines_of_which_none_fits_are_answered_429(api, queue):
    fill(api, queue)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = ask(api, "/api/v1/jobs/batch", content=json.dumps({**MATH, "queue": queue}), headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["accepted"]) == (429, "queue_limit", 0)
    assert answer.headers["Retry-After"]


def test_a_client_raises_what_the_servers_own_raises(api, queue):
    fill(api, queue)
    with HttpClient(str(api.base_url), "shop-secret") as client:
        with pytest.raises(QueueLimit):
            client.enqueue("math", MATH["payload"], queue=queue)
        with pytest.raises(InvalidBatch) as raised:
            client.enqueue_many([{**MATH, "queue": queue}] * 2)
        assert {type(error) for _, error in raised.value.errors} == {QueueLimit}
