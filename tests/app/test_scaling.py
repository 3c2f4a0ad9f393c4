"""GET /api/v1/capacity, and what HireFire and Judoscale read."""

from uuid import uuid4

import pytest

from gopher.client import Client
from tests.app.conftest import running_api

TOKEN = "a-token-that-only-HireFire-has"


@pytest.fixture(scope="module")
def scaled(folder, redis_url):
    """An API that needs keys, with a token for HireFire."""
    namespace = f"scaled-{uuid4().hex[:8]}"
    keys = "boss:secret-of-the-boss:admin,shop:secret-of-the-shop:submit,eye:secret-of-the-eye:read"
    variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_API_KEYS": keys, "HIREFIRE_TOKEN": TOKEN}
    with running_api(folder, redis_url, **variables) as api, Client(redis_url, namespace=namespace) as client:
        for _ in range(3):
            client.enqueue("email", {})
        yield api


def test_capacity_is_shown_to_those_who_may_read(scaled):
    assert scaled.get("/api/v1/capacity").status_code == 401
    assert scaled.get("/api/v1/capacity", headers={"X-API-Key": "secret-of-the-shop"}).status_code == 403
    answer = scaled.get("/api/v1/capacity", params={"within": "10s"}, headers={"X-API-Key": "secret-of-the-eye"})
    found = answer.json()
    assert (answer.status_code, found["within"], found["needed_workers"]) == (200, 10, 1)
    (group,) = found["groups"]
    assert (group["name"], group["waiting"], group["types"][0]["assumed"]) == ("worker", 3, True)
    again = scaled.get("/api/v1/capacity", params={"within": "0s"}, headers={"X-API-Key": "secret-of-the-eye"})
    assert (again.status_code, again.json()["field"]) == (400, "/within")


def test_hirefire_gets_a_list_of_process_types_for_its_token_alone(scaled):
    answer = scaled.get(f"/hirefire/{TOKEN}/info")
    assert (answer.status_code, answer.json()) == (200, [{"name": "worker", "value": 1, "quantity": 1}])
    for other in ("another-token-of-16", TOKEN + "x", "%ff"):
        assert scaled.get(f"/hirefire/{other}/info").status_code == 404


def test_the_token_is_in_no_log_and_in_no_metric(scaled):
    scaled.get(f"/hirefire/{TOKEN}/info")
    metrics = scaled.get("/metrics", headers={"X-API-Key": "secret-of-the-eye"}).text
    assert "/hirefire/<token>/info" in metrics
    assert TOKEN not in metrics
    log = scaled.log.read_text()
    assert "/hirefire/" in log
    assert TOKEN not in log


def test_without_a_token_there_is_no_such_address(api):
    assert api.get("/hirefire//info").status_code == 404
    assert api.get("/hirefire/development/info").status_code == 404


def test_judoscale_gets_the_oldest_wait_and_the_running_jobs_of_each_queue(scaled):
    report = scaled.get("/judoscale/report", headers={"X-API-Key": "secret-of-the-eye"}).json()
    values = {(measurement, queue): value for _, value, measurement, queue in report["metrics"]}
    assert values["busy", "default"] == 0
    assert values["queue_time", "default"] >= 0
