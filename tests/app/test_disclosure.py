"""What the API tells clients that may not read: nothing of the installation, neither in health checks nor in errors."""

import re
import tempfile
from pathlib import Path

import pytest

from gopher import __version__
from gopher.api_client.client import HttpClient
from gopher.errors import QueueUnavailable
from gopher.server.embedded import EmbeddedServer
from tests.app.conftest import running_api
from tests.app.test_access import ADMIN, JOB, KEYS, READ, SUBMIT, bearer

UNPRIVILEGED = {"no key": {}, "wrong key": {"X-API-Key": "wrong"}, "submit": bearer(SUBMIT)}
NAMESPACE = "acme-payroll"


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="gopher-hidden-") as folder, EmbeddedServer(Path(folder)) as server:
        yield server


@pytest.fixture(scope="module")
def api(folder, server):
    variables = {"GOPHER_NAMESPACE": NAMESPACE, "GOPHER_API_KEYS": KEYS, "WEB_CONCURRENCY": "1", "REDIS_TIMEOUT": "1s"}
    with running_api(folder, server.url, **variables) as api:
        api.post("/api/v1/jobs", json={**JOB, "queue": "acme-payroll"}, headers=bearer(SUBMIT))
        yield api


def says_nothing(text, server):
    words = ["Error", "socket", str(server.socket_path.parent), server.url, NAMESPACE, __version__]
    return not [word for word in words if word in text]


@pytest.mark.parametrize("headers", UNPRIVILEGED.values(), ids=UNPRIVILEGED)
def test_health_checks_tell_whether_it_is_healthy_and_no_more(api, server, headers):
    told = api.get("/health", headers=headers).json()
    assert told.keys() == {"status", "timestamp"}
    assert told["status"] == "degraded"
    assert api.get("/health/live", headers=headers).json() == {"status": "alive"}
    assert api.get("/health/ready", headers=headers).json() == {"status": "ready"}


@pytest.mark.parametrize("secret", [READ, ADMIN])
def test_health_checks_tell_everything_to_a_key_that_may_read(api, server, secret):
    told = api.get("/health", headers=bearer(secret)).json()
    assert told.keys() == {"status", "timestamp", "version", "redis", "workers", "scheduler", "reasons"}
    assert told["redis"]["url"] == server.url
    assert "acme-payroll" in told["reasons"][0]
    assert api.get("/health/live", headers=bearer(secret)).json() == {"status": "alive", "version": __version__}


def test_a_client_without_a_key_reads_what_it_is_told(api):
    with HttpClient(str(api.base_url)) as gopher:
        told = gopher.health()
    assert (told.status, told.version, told.redis, told.workers, told.reasons) == ("degraded", None, None, None, [])


@pytest.fixture(scope="module")
def gone(api, server):
    """The API while its server is gone."""
    server.stop()
    yield api
    server.start()


CALLS = {
    "submit": ("POST", "/api/v1/jobs", {"json": JOB}),
    "wait": ("POST", "/api/v1/jobs?wait=1", {"json": {**JOB, "unique_key": "x"}}),
    "dry run": ("POST", "/api/v1/jobs?dry_run=1", {"json": JOB}),
    "batch": ("POST", "/api/v1/jobs/batch", {"json": {"jobs": [JOB, {**JOB, "queue": "another"}]}}),
    "lines": (
        "POST",
        "/api/v1/jobs/batch",
        {"content": b'{"type":"math","payload":{"operation":"prime","number":7}}', "ndjson": True},
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_the_server_does_not_tell_a_submitter_where_it_is(gone, server, call):
    method, path, sent = CALLS[call]
    sent = dict(sent)
    types = {"Content-Type": "application/x-ndjson"} if sent.pop("ndjson", False) else {}
    answer = gone.request(method, path, headers={**bearer(SUBMIT), **types}, **sent)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
    assert says_nothing(answer.text, server), answer.text
    assert answer.json()["request_id"] in answer.json()["details"]
    # The log says it.
    assert re.search("server .*code=queue_unavailable.*Error", gone.log.read_text())


@pytest.mark.parametrize("headers", UNPRIVILEGED.values(), ids=UNPRIVILEGED)
def test_health_checks_without_the_server_tell_no_reason(gone, headers):
    for path in ("/health", "/health/ready"):
        answer = gone.get(path, headers=headers)
        assert answer.status_code == 503
        assert answer.json().keys() == {"status", "timestamp"}
        assert answer.json()["status"] == "unhealthy"


def test_those_that_may_read_are_told_the_reason(gone, server):
    assert "Error" in gone.get("/health", headers=bearer(READ)).json()["error"]
    assert "Error" in gone.get("/api/v1/jobs", headers=bearer(READ)).json()["details"]
    with HttpClient(str(gone.base_url)) as gopher, pytest.raises(QueueUnavailable, match="server is unavailable"):
        gopher.health()


@pytest.mark.parametrize(("method", "path"), [("POST", "/dashboard/sign-in"), ("GET", "/dashboard")])
def test_a_page_for_visitors_who_are_not_signed_in_tells_nothing_either(gone, server, method, path):
    answer = gone.request(method, path, data={"key": "wrong"}, headers={"Cookie": "gopher_dashboard=x"})
    assert answer.status_code == 503
    assert says_nothing(answer.text.partition("Sign in")[0], server), answer.text
