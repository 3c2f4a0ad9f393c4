"""Who may call what: API keys, their roles, and pages of other origins."""

import pytest

from tests.app.calls import APP, OPERATIONS, promised, routes_of
from tests.app.conftest import EMAIL, running_api

KEYS = "shop:sübmit-secret:submit,blog:other-secret:submit,board:read-secret:read,ops:admin-secret"
SUBMIT, OTHER, READ, ADMIN = "sübmit-secret", "other-secret", "read-secret", "admin-secret"
JOB = {"type": "email", "payload": EMAIL}
OWN = [(method, rule) for method, rule, declared in routes_of(APP) if declared is not None and declared.for_owner]
OWN_BATCH = [(method, rule) for method, rule in OWN if "<batch_id>" in rule]


def bearer(secret):
    return {"Authorization": f"Bearer {secret}".encode()}


@pytest.fixture(scope="module")
def locked(folder, redis_url):
    variables = {"GOPHER_API_KEYS": KEYS, "GOPHER_CORS_ORIGINS": "https://shop.example", "LOG_FORMAT": "json"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE="locked", WEB_CONCURRENCY="1", **variables) as api:
        yield api


def test_the_table_of_calls_has_every_route_and_no_other():
    assert set(promised()) == set(OPERATIONS)


def test_calls_that_are_open_to_owners_are_about_one_job():
    assert OWN
    # Or about one batch. There is an owner to compare with only if the path names exactly one of the two.
    assert all(("<job_id>" in rule) != ("<batch_id>" in rule) for _, rule in OWN)


@pytest.mark.parametrize(("method", "rule"), OWN_BATCH)
def test_a_batch_is_open_to_its_owner_and_missing_for_others(locked, method, rule):
    made = locked.post("/api/v1/batches", json={"name": "own"}, headers=bearer(SUBMIT))
    path = rule.replace("<batch_id>", made.json()["batch_id"])
    stranger = locked.request(method, path, headers=bearer(OTHER))
    assert stranger.status_code == 404
    assert method == "HEAD" or stranger.json()["code"] == "not_found"
    assert locked.request(method, path, headers=bearer(SUBMIT)).status_code in (200, 202)


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/jobs/a/b/c"])
def test_what_is_not_there_is_told_to_those_who_may_look(locked, path):
    callers = ({}, {"Authorization": "Bearer wrong"}, bearer(SUBMIT), bearer(READ), bearer(ADMIN))
    answers = [locked.delete(path, headers=headers).status_code for headers in callers]
    assert answers == [401, 401, 403, 404, 404]


def test_a_schedule_by_submission_needs_an_admin_like_any_other(locked):
    body = {**JOB, "recurring": {"cron_expression": "0 3 * * *", "name": "by-submission"}}
    assert locked.post("/api/v1/jobs", json=body, headers=bearer(SUBMIT)).status_code == 403
    assert locked.post("/api/v1/jobs", json=body, headers=bearer(ADMIN)).status_code == 201


# Keys


def test_takes_the_key_from_either_header(locked):
    for headers in (bearer(ADMIN), {"X-API-Key": ADMIN}, {"Authorization": f"bearer  {ADMIN}"}):
        assert locked.get("/api/v1/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}]
)
def test_refuses_who_has_no_key(locked, headers):
    answer = locked.post("/api/v1/jobs", json=JOB, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_probes_need_no_key(locked):
    assert [locked.get(path).status_code for path in ("/health", "/health/live", "/health/ready")] == [200] * 3
    assert locked.get("/healthy").status_code == 401


def test_logs_the_name_of_the_key_and_never_the_secret(locked):
    locked.post("/api/v1/jobs", json=JOB, headers=bearer(SUBMIT))
    locked.get("/api/v1/jobs", headers={"X-API-Key": "wrong-secret"})
    log = locked.log.read_text()
    assert '"key": "shop"' in log
    assert "secret" not in log


def test_pages_of_named_origins_may_call(locked):
    origin = {"Origin": "https://shop.example"}
    asked = locked.options(
        "/api/v1/jobs",
        headers={
            **origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )
    assert asked.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "authorization" in asked.headers["Access-Control-Allow-Headers"].lower()
    answer = locked.post("/api/v1/jobs", json=JOB, headers={**origin, **bearer(SUBMIT)})
    assert answer.status_code == 201
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    other = locked.post("/api/v1/jobs", json=JOB, headers={"Origin": "https://evil.example", **bearer(SUBMIT)})
    assert other.status_code == 403
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    "origin",
    ["https://shopxexample", "https://shop.example.evil.org", "https://a.shop.example", "http://shop.example", "null",
     "https://shop.example:444", "https://shop.example\tx", "http://[", "https://SHOP.example.evil.org"],
)  # fmt: skip
def test_no_other_origin_is_allowed_that_resembles_one(locked, origin):
    read = locked.get("/api/v1/jobs", headers={"Origin": origin, **bearer(READ)})
    assert "Access-Control-Allow-Origin" not in read.headers
    answer = locked.post("/api/v1/jobs", json=JOB, headers={"Origin": origin, **bearer(SUBMIT)})
    assert answer.status_code == 403
