"""SIGHUP: new processes take over, and there is always one that answers."""

import signal

import httpx
import psutil
import pytest

from tests.app.conftest import running_api
from tests.helpers import wait_until
from tests.worker.processes import ROOT


@pytest.fixture
def reloadable(folder, redis_url, namespace, tmp_path):
    variables = {"GOPHER_HANDLERS": "tests.slow_handlers", "HOLD": str(tmp_path / "hold"), "PYTHONPATH": str(ROOT)}
    with running_api(folder, redis_url, GOPHER_NAMESPACE=namespace, WEB_CONCURRENCY="2", **variables) as api:
        yield api


def test_while_new_processes_load_the_application_the_old_ones_answer(reloadable, tmp_path):
    api, hold = reloadable, tmp_path / "hold"
    master = psutil.Process(api.process.pid)

    def both_serve():
        # One that does not serve yet is stopped for the next one. Threads begin with the first request.
        for _ in range(8):
            assert httpx.get(api.base_url.join("/health/live")).status_code == 200
        return len(master.children()) == 2 and all(child.num_threads() > 1 for child in master.children())

    wait_until(both_serve)
    old = {child.pid for child in master.children()}
    hold.touch()
    # Whoever reloads again meanwhile gets no gap either, and no more processes than twice.
    for asked in range(1, 4):
        api.process.send_signal(signal.SIGHUP)
        wait_until(lambda asked=asked: len(list(tmp_path.glob("hold.*"))) == 2 * asked)
        for _ in range(10):
            assert api.post("/api/v1/jobs", json={"type": "slow", "payload": {}}).status_code == 201
    wait_until(lambda: len(master.children()) == 4)
    assert old < {child.pid for child in master.children()}
    hold.unlink()

    def are_replaced():
        # One after the other, without a pause: none is refused or lost.
        assert api.post("/api/v1/jobs", json={"type": "slow", "payload": {}}).status_code == 201
        now = {child.pid for child in master.children()}
        return len(now) == 2 and not now & old

    wait_until(are_replaced, 60)


def test_processes_that_load_the_application_stop_when_told(folder, redis_url, namespace, tmp_path):
    hold = tmp_path / "hold"
    variables = {"GOPHER_HANDLERS": "tests.slow_handlers", "HOLD": str(hold), "PYTHONPATH": str(ROOT)}
    with running_api(folder, redis_url, GOPHER_NAMESPACE=namespace, WEB_CONCURRENCY="1", **variables) as api:
        hold.touch()
        api.process.send_signal(signal.SIGHUP)
        wait_until(lambda: list(tmp_path.glob("hold.*")))
        api.process.send_signal(signal.SIGTERM)
        # The import never ends.
        assert api.process.wait(60) == 0
