"""Who may call what: API keys, their roles, and pages of other origins."""

import pytest

from tests.app.conftest import EMAIL, running_api

KEYS = "shop:sübmit-secret:submit,board:read-secret:read,ops:admin-secret"
SUBMIT, READ, ADMIN = "sübmit-secret", "read-secret", "admin-secret"
JOB = {"type": "email", "payload": EMAIL}


@pytest.fixture(scope="module")
def locked(folder, redis_url, api_namespace):
    variables = {"GOPHER_API_KEYS": KEYS, "GOPHER_CORS_ORIGINS": "https://shop.example", "WEB_CONCURRENCY": "1"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE=api_namespace, **variables) as api:
        yield api


def bearer(secret):
    return {"Authorization": f"Bearer {secret}".encode()}


@pytest.mark.parametrize(
    ("method", "path", "weakest"),
    [
        ("POST", "/api/v1/jobs", SUBMIT),
        ("POST", "/api/v1/jobs/batch", SUBMIT),
        ("GET", "/api/v1/jobs", READ),
        ("GET", "/api/v1/jobs/nothing", READ),
        ("GET", "/api/v1/queue/stats", READ),
        ("GET", "/api/v1/dlq", READ),
        ("GET", "/api/v1/dlq/groups", READ),
        ("GET", "/api/v1/dlq/retries", READ),
        ("GET", "/metrics", READ),
        ("GET", "/", READ),
        ("GET", "/nowhere", READ),
        ("DELETE", "/api/v1/jobs/nothing", ADMIN),
        ("POST", "/api/v1/jobs/nothing/cancel", ADMIN),
        ("POST", "/api/v1/dlq/nothing/retry", ADMIN),
        ("POST", "/api/v1/dlq/retries/nothing/stop", ADMIN),
        ("DELETE", "/api/v1/dlq/nothing", ADMIN),
        ("DELETE", "/api/v1/queues/unused", ADMIN),
    ],
)
def test_a_role_may_do_what_it_covers_and_no_more(locked, method, path, weakest):
    assert locked.request(method, path).status_code == 401
    order = [SUBMIT, READ, ADMIN]
    for secret in order:
        answer = locked.request(method, path, headers=bearer(secret))
        if order.index(secret) < order.index(weakest):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        else:
            assert answer.status_code not in (401, 403)


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


def test_says_who_in_the_log_and_never_the_secret(locked):
    locked.post("/api/v1/jobs", json=JOB, headers=bearer(SUBMIT))
    locked.get("/api/v1/jobs", headers={"X-API-Key": "wrong-secret"})
    log = locked.log.read_text()
    assert "key=shop" in log
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
