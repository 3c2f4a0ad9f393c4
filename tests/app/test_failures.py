"""Errors have one shape, whatever went wrong; and the probes tell what is wrong with the server."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gopher.server.embedded import EmbeddedServer
from tests.app.conftest import EMAIL, running_api
from tests.helpers import free_port, wait_until

SHAPE = {"error", "code", "details", "request_id"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/jobs/a/b/c", 404, "not_found"),
        ("PUT", "/api/v1/jobs", 405, "method_not_allowed"),
        ("BREW", "/", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
    ],
)
def test_errors_have_one_shape(api, method, path, status, code):
    answer = api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() >= SHAPE
    assert answer.headers["Content-Type"] == "application/json"
    assert status != 405 or answer.headers["Allow"]


def test_gives_a_request_id_back_unless_it_is_malformed(api):
    assert api.get("/nowhere", headers={"X-Request-ID": "trace-1"}).json()["request_id"] == "trace-1"
    made_up = api.get("/nowhere", headers={"X-Request-ID": "a b\tc"}).json()["request_id"]
    assert re.fullmatch("[0-9a-f]{32}", made_up)


def test_a_page_of_another_site_can_change_nothing(api, queue):
    elsewhere = {"Origin": "https://evil.example"}
    answer = api.post("/api/v1/dlq/retry-all", headers=elsewhere)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    here = {"Origin": str(api.base_url)}
    body = {"type": "email", "payload": EMAIL, "queue": queue}
    assert api.post("/api/v1/jobs", json=body, headers=here).status_code == 201


@pytest.mark.parametrize(
    "lines",
    [
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nX-A: " + b"b" * 9000 + b"\r\n\r\n",
    ],
)
def test_refuses_endless_request_lines_and_headers(api, lines):
    with socket.create_connection(("127.0.0.1", api.base_url.port), timeout=60) as connection:
        connection.sendall(lines)
        assert re.match(rb"HTTP/1.1 4\d\d", connection.recv(100))


def test_healthy_but_for_the_missing_scheduler(api):
    body = api.get("/health").json()
    assert body["status"] == "degraded"
    assert body["scheduler"] == "missing"
    assert any("scheduler" in reason for reason in body["reasons"])
    assert {"timestamp", "version", "redis", "workers"} <= body.keys()
    assert api.get("/health/live").status_code == api.get("/health/ready").status_code == 200


def test_a_queue_without_a_worker_is_a_reason(api, queue):
    api.submit(queue=queue)
    answer = api.get("/health")
    assert answer.status_code == 200
    assert any(queue in reason for reason in answer.json()["reasons"])


@pytest.fixture(scope="module")
def frail():
    """A server of its own, to be stopped, frozen and filled."""
    with tempfile.TemporaryDirectory(prefix="gopher-frail-") as folder, EmbeddedServer(Path(folder)) as server:
        yield server


@pytest.fixture(scope="module")
def frail_api(folder, frail):
    with running_api(folder, frail.url, WEB_CONCURRENCY="1") as api:
        api.submit()
        yield api


def ask(api, path="/health"):
    """Return status, body and seconds of an answer."""
    started = time.monotonic()
    answer = api.get(path)
    return answer.status_code, answer.json(), time.monotonic() - started


def test_a_server_that_hangs_is_reported_in_time(frail, frail_api):
    os.kill(frail.pid, signal.SIGSTOP)
    try:
        status, body, seconds = ask(frail_api)
        assert (status, body["status"]) == (503, "unhealthy")
        assert seconds < 10
        assert ask(frail_api, "/health/ready")[0] == 503
        assert ask(frail_api, "/health/live")[0] == 200
        started = time.monotonic()
        answer = frail_api.submit()
        assert time.monotonic() - started < 20
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        # The request may be read when the server wakes up.
        assert answer.json()["code"] == "outcome_unknown"
        assert answer.json()["job_id"] in answer.json()["details"]
    finally:
        os.kill(frail.pid, signal.SIGCONT)
    # It was stored after all: the id tells.
    assert wait_until(lambda: frail_api.get(f"/api/v1/jobs/{answer.json()['job_id']}").status_code == 200)


def test_a_server_that_is_gone_is_reported_and_its_return_noticed(frail, frail_api):
    frail.stop()
    try:
        status, body, seconds = ask(frail_api)
        assert (status, body["status"]) == (503, "unhealthy")
        assert seconds < 10
        answer = frail_api.submit()
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert answer.headers["Retry-After"]
        assert frail_api.get("/api/v1/jobs").status_code == 503
        assert "gopher_up 0.0" in frail_api.get("/metrics").text
    finally:
        frail.start()
    wait_until(lambda: frail_api.submit().status_code == 201)
    wait_until(lambda: frail_api.get("/health").status_code == 200)


def test_a_full_server_stores_nothing_and_says_so(frail, frail_api):
    from gopher.client import Client

    with Client(frail.url) as client:
        client.server.client.config_set("maxmemory", "1mb")
        before = client.stats().total_enqueued
        try:
            answer = frail_api.submit()
            assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
            assert ask(frail_api, "/health/ready")[0] == 503
            assert client.stats().total_enqueued == before
        finally:
            client.server.client.config_set("maxmemory", "0")
    wait_until(lambda: frail_api.submit().status_code == 201)


def test_a_record_that_can_not_be_read_tells_no_internals(client, api, queue):
    job_id = api.submit(queue=queue).json()["job_id"]
    client.server.client.hset(client.server.keys.for_queue(queue).job(job_id), "envelope", "{broken")
    answer = api.get(f"/api/v1/jobs/{job_id}")
    client.server.client.delete(client.server.keys.for_queue(queue).job(job_id))
    assert answer.status_code == 200
    assert answer.json()["corrupt"]
    assert "broken" not in answer.text


def test_payloads_are_not_logged(api, queue):
    api.submit({**EMAIL, "body": "a secret of somebody"}, queue=queue)
    api.submit({"to": "another secret"}, queue=queue)
    assert "secret" not in api.log.read_text()


def test_a_client_that_stalls_is_let_go_and_is_no_error_of_ours(folder, redis_url, namespace):
    halves = (b"GET / HTT", b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    variables = {"GOPHER_NAMESPACE": namespace, "SERVER_READ_TIMEOUT": "500ms", "WEB_CONCURRENCY": "1"}
    with running_api(folder, redis_url, **variables) as api:
        for half in halves:
            with socket.create_connection(("127.0.0.1", api.base_url.port), timeout=60) as connection:
                connection.sendall(half)
                started = time.monotonic()
                while connection.recv(1000):
                    pass
                assert time.monotonic() - started < 10
        log = api.log.read_text()
    assert "a client was too slow" in log
    assert "Traceback" not in log


def start(**variables):
    environ = {**os.environ, "SERVER_PORT": str(free_port()), **variables}
    command = [sys.executable, "-P", "-m", "gopher.app"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_refuses_to_serve_other_machines_without_keys():
    ended = start(SERVER_HOST="0.0.0.0")
    assert ended.returncode != 0
    assert "GOPHER_API_KEYS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_refuses_to_start_with_wrong_settings():
    ended = start(WEB_CONCURRENCY="many")
    assert ended.returncode != 0
    assert "WEB_CONCURRENCY" in ended.stderr
    assert "Traceback" not in ended.stderr
