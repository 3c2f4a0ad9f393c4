"""Who may call what: API keys, their roles, and pages of other origins."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from gopher.app import create_app, openapi, operations

from gopher.config.settings import Settings
from gopher.jobs.job import new_job_id
from tests.app.conftest import EMAIL, running_api

KEYS = "shop:sübmit-secret:submit,board:read-secret:read,ops:admin-secret"
SUBMIT, READ, ADMIN = "sübmit-secret", "read-secret", "admin-secret"
JOB = {"type": "email", "payload": EMAIL}


def bearer(secret):
    return {"Authorization": f"Bearer {secret}".encode()}


@pytest.fixture(scope="module")
def locked(folder, redis_url):
    variables = {"GOPHER_API_KEYS": KEYS, "GOPHER_CORS_ORIGINS": "https://shop.example", "LOG_FORMAT": "json"}
    with running_api(folder, redis_url, GOPHER_NAMESPACE="locked", WEB_CONCURRENCY="1", **variables) as api:
        yield api


#: Every call of the API, with its route: taken from the application itself, so that a new one can't be forgotten.
APP = create_app(Settings())
ROUTES = sorted(
    (method, rule.rule)
    for rule in APP.url_map.iter_rules()
    for method in openapi.methods_of(rule)
    # The dashboard's pages have a gate, and tests, of their own.
    if not (declared := operations.operation_of(APP, rule.endpoint)) or not declared.is_page
)
CALLERS = {
    "no key": {},
    "wrong key": {"Authorization": "Bearer wrong"},
    "submit": bearer(SUBMIT),
    "read": bearer(READ),
    "admin": bearer(ADMIN),
}


@cache
def promised() -> dict[tuple[str, str], dict[str, str]]:
    """Return what docs/security.md says: (method, route) -> caller -> yes, 401 or 403."""
    text = (Path(__file__).parents[2] / "docs/security.md").read_text()
    rows = re.findall(r"^\| (none|submit|read|admin) \| (.*) \|$", text, re.MULTILINE)
    roles = {role: dict(zip(CALLERS, cells.split(" | "), strict=True)) for role, cells in rows}
    needs = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \| (\w+) \|$", text, re.MULTILINE)
    return {(method, route): roles[role] for method, route, role in needs}


def test_the_table_of_calls_names_no_route_that_there_is_not():
    assert set(promised()) == set(ROUTES)


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_role_may_do_what_it_covers_and_no_more(locked, method, route):
    path = route.replace("<job_id>", new_job_id()).replace("<name>", "docs.js" if "docs" in route else "nothing")
    path = re.sub("<[^>]*>", "unused", path)
    assert (method, route) in promised(), "add this call to the table in docs/security.md"
    for caller, expected in promised()[method, route].items():
        answer = locked.request(method, path, headers={**CALLERS[caller], "X-Request-ID": f"who-{method}-{caller[:5]}"})
        if expected == "yes":
            assert answer.status_code not in (401, 403), (caller, answer.text)
        else:
            code = {"401": "unauthorized", "403": "forbidden"}[expected]
            assert (str(answer.status_code), answer.json()["code"]) == (expected, code), caller


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/jobs/a/b/c"])
def test_what_is_not_there_is_told_to_those_who_may_look(locked, path):
    answers = [locked.delete(path, headers=headers).status_code for headers in CALLERS.values()]
    assert answers == [401, 401, 403, 404, 404]


def test_a_schedule_by_submission_needs_an_admin_like_any_other(locked):
    body = {**JOB, "recurring": {"cron_expression": "0 3 * * *", "name": "by-submission"}}
    assert locked.post("/api/v1/jobs", json=body, headers=bearer(SUBMIT)).status_code == 403
    assert locked.post("/api/v1/jobs", json=body, headers=bearer(ADMIN)).status_code == 201
    assert audited(locked, action="jobs.submit", status=201)[0]["schedule"] == "by-submission"


# The audit log


def audited(api, **facts):
    """Return the lines of the audit log with these facts."""
    lines = [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "audit" and facts.items() <= line.items()]


@pytest.mark.parametrize(
    ("method", "route"), [each for each in ROUTES if promised().get(each, {}).get("read") == "403"]
)
def test_every_administrative_act_is_one_line_of_the_log_also_a_refused_one(locked, method, route):
    path = re.sub("<[^>]*>", f"of-{method.lower()}", route)
    for secret, who in ((READ, "board"), (ADMIN, "ops")):
        request_id = f"{who}-{method}-{re.sub('[^a-z]', '-', route)}"
        answer = locked.request(method, path, headers={**bearer(secret), "X-Request-ID": request_id})
        (line,) = audited(locked, request_id=request_id)
        assert (line["who"], line["status"], line["method"]) == (who, answer.status_code, method)
        assert (line["address"], line["level"]) == ("127.0.0.1", "warning")
        assert all(value == f"of-{method.lower()}" for value in line["on"].values())


def test_an_audit_line_says_to_what_and_to_how_many(locked):
    for _ in range(3):
        locked.post("/api/v1/jobs", json={**JOB, "queue": "audited"}, headers=bearer(SUBMIT))
    locked.delete("/api/v1/queues/audited?state=pending", headers={**bearer(ADMIN), "X-Request-ID": "purge-three"})
    (line,) = audited(locked, request_id="purge-three")
    assert (line["count"], line["on"]) == (3, {"queue": "audited", "state": "pending"})
    body = {"cron_expression": "@daily", "type": "email", "payload": {**EMAIL, "body": "private"}, "missed": "skip"}
    locked.put("/api/v1/schedules/audited", json=body, headers={**bearer(ADMIN), "X-Request-ID": "put-one"})
    (line,) = audited(locked, request_id="put-one")
    assert line["on"] == {"name": "audited", "cron_expression": "@daily", "type": "email", "missed": "skip"}
    assert line["what"] == "CREATED"
    assert "private" not in locked.log.read_text()


def test_looking_and_submitting_are_not_audited(locked):
    locked.get("/api/v1/jobs", headers={**bearer(ADMIN), "X-Request-ID": "only-looking"})
    locked.post("/api/v1/jobs", json=JOB, headers={**bearer(ADMIN), "X-Request-ID": "only-submitting"})
    assert not audited(locked, request_id="only-looking") + audited(locked, request_id="only-submitting")


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


def test_says_who_in_the_log_and_never_the_secret(locked):
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
