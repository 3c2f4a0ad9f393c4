"""The API's log: a line a request, found by its id and by its job, without secrets."""

import json

import pytest

from tests.app.conftest import EMAIL, running_api
from tests.helpers import wait_until

SECRET, PAYLOAD = "s3cret-key-of-ci", "hunter2-in-the-payload"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def logging_api(folder, redis_url):
    environ = {"GOPHER_NAMESPACE": "logging-api", "LOG_FORMAT": "json", "GOPHER_API_KEYS": f"ci:{SECRET}:admin"}
    with running_api(folder, redis_url, **environ) as api:
        api.headers["Authorization"] = f"Bearer {SECRET}"
        yield api


def line_of(api, request_id):
    def found():
        # The last line may be half written.
        written = api.log.read_text().rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in written if line.startswith("{")]
        return [line for line in lines if line.get("request_id") == request_id and line["event"] == "request"]

    wait_until(found, 20, "the request's line")
    (line,) = found()
    return line


def test_a_submission_is_found_by_its_request_its_job_and_its_trace(logging_api):
    headers = {"X-Request-ID": "first", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    job = logging_api.post("/api/v1/jobs", json={"type": "email", "payload": EMAIL}, headers=headers).json()
    line = line_of(logging_api, "first")
    assert line.items() >= {
        "job_id": job["job_id"], "trace_id": TRACE, "path": "/api/v1/jobs", "status": 201, "level": "info", "key": "ci",
    }.items()  # fmt: skip


def test_the_next_request_of_a_thread_has_its_own_fields_only(logging_api):
    for number in range(40):
        logging_api.get("/api/v1/jobs", headers={"X-Request-ID": f"later-{number}"})
    for number in range(40):
        line = line_of(logging_api, f"later-{number}")
        assert "trace_id" not in line
        assert "job_id" not in line


def test_nothing_secret_is_logged_whatever_goes_wrong(logging_api):
    payload = {**EMAIL, "body": PAYLOAD}
    requests = [
        {"json": {"type": "email", "payload": payload}},
        {"json": {"type": "email", "payload": {**payload, PAYLOAD: 1}}},
        {"json": {"type": "email", "payload": payload, "priority": PAYLOAD}},
        {"content": f'{{"type": "email", "payload": "{PAYLOAD}'.encode()},
        {"json": {"type": "email", "payload": payload}, "headers": {"Authorization": f"Bearer {PAYLOAD}"}},
        {"json": {"type": "email", "payload": payload}, "headers": {"X-API-Key": SECRET, "X-Request-ID": "last"}},
    ]
    for number, request in enumerate(requests):
        headers = {"Content-Type": "application/json", "X-Request-ID": f"secret-{number}", **request.pop("headers", {})}
        logging_api.post("/api/v1/jobs", **request, headers=headers)
    line_of(logging_api, "last")
    text = logging_api.log.read_text()
    assert SECRET not in text
    assert PAYLOAD not in text
