"""`gopherctl up`: everything at once, and its end in order."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from gopher.cli.processes import gopherctl
from gopher.cli.up import START_PERIOD

from tests.helpers import wait_until


class Running:
    """A running `gopherctl up` in a folder of its own."""

    def __init__(self, folder: Path, **more: str) -> None:
        self._log = folder / "up.log"
        self.folder = folder
        settings = {"SERVER_PORT": "0", "WORKER_CONCURRENCY": "2", "WEB_CONCURRENCY": "1", **more}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                gopherctl("up"),
                env={**os.environ, **settings},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_until_ready(self) -> str:
        """Return the address that it says it listens on."""
        ready = wait_until(lambda: self.process.poll() is not None or re.search(r"ready: http://(\S+) ", self.log), 120)
        assert isinstance(ready, re.Match), self.log
        return ready[1]

    def children(self) -> dict[str, psutil.Process]:
        """Return its processes by name; `server` is the embedded one."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                words = child.cmdline()
            except psutil.NoSuchProcess:
                # It has just died (a zombie counts as that).
                continue
            name = next((each for each in ("web", "worker", "scheduler") if each in words), None)
            title = " ".join(words)
            name = name or ("web" if "gunicorn" in title else "server")
            found[name] = child
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def submit(self, **job: Any) -> str:
        answer = call(self.wait_until_ready(), "POST", "/api/v1/jobs", job)
        return str(answer["job_id"])


def call(address: str, method: str, path: str, body: Any = None) -> Any:
    connection = HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(**more: str) -> Running:
        started.append(Running(tmp_path, **more))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One with API keys that is ready, for what only reads what it says. Its own health check has none."""
    # Those of a server elsewhere are none of the embedded one's.
    elsewhere = {
        "REDIS_PASSWORD": "x",
        "REDIS_DB": "3",
        "REDIS_SENTINEL_PASSWORD": "x",
        "REDIS_TLS_SERVER_NAME": "x.test",
    }
    running = Running(tmp_path_factory.mktemp("up"), GOPHER_API_KEYS="ops:secret-of-ops", **elsewhere)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


def test_runs_a_job_and_stops_in_order_on_ctrl_c(up: Callable[..., Running]) -> None:
    running = up()
    address = running.wait_until_ready()
    job_id = running.submit(type="math", payload={"operation": "prime", "number": 7})
    wait_until(lambda: call(address, "GET", f"/api/v1/jobs/{job_id}")["status"] == "completed")
    children = running.children()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    assert f"curl http://{address}/api/v1/jobs" in running.log
    assert (running.folder / ".gopher").is_dir()
    steps = ["stopping web", "stopping worker and scheduler", "stopping part=worker", "gopher    | stopped"]
    places = [running.log.index(step) for step in steps]
    assert places == sorted(places)
    assert not any(child.is_running() for child in children.values())


def test_is_ready_with_api_keys_too_although_its_own_health_check_has_none(standing: Running) -> None:
    assert "not healthy" not in standing.log


def test_keeps_jobs_over_a_restart(up: Callable[..., Running]) -> None:
    first = up()
    job_id = first.submit(type="math", payload={"operation": "prime", "number": 7}, delay="1h")
    first.process.terminate()
    assert first.process.wait(60) == 0
    second = up()
    assert call(second.wait_until_ready(), "GET", f"/api/v1/jobs/{job_id}")["status"] == "scheduled"


def test_prefixes_each_line_with_the_name_of_its_process(standing: Running) -> None:
    # A process may be at work before the line is passed on that says so.
    for line in (r"^worker +\| .*worker started", r"^scheduler +\| "):
        wait_until(lambda line=line: re.search(line, standing.log, re.MULTILINE), what=line)


def test_starts_a_process_again_that_died_later(up: Callable[..., Running]) -> None:
    running = up()
    running.wait_until_ready()
    ready = time.monotonic()
    worker = running.children()["worker"]
    # The first seconds are the start: a death there stops everything.
    wait_until(lambda: time.monotonic() > ready + START_PERIOD + 1)
    worker.kill()
    wait_until(lambda: running.children().get("worker", worker).pid != worker.pid, 60)
    assert "worker was killed by SIGKILL: restarting it in 1 s" in running.log


def test_a_process_that_can_not_start_stops_everything_with_the_reason(
    up: Callable[..., Running], tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text("import no_such_module\n")
    running = up(GOPHER_HANDLERS="jobs")
    assert running.process.wait(60) == 1
    assert "'jobs' can't be imported: ModuleNotFoundError: No module named 'no_such_module'" in running.log
    assert re.search(r"Error: \w+ ended with exit code \d", running.log)


def test_a_port_that_is_taken_is_told_before_anything_starts(up: Callable[..., Running]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = up(SERVER_HOST="127.0.0.1", SERVER_PORT=str(taken.getsockname()[1]))
        assert running.process.wait(60) == 1
    assert "is in use by another program" in running.log
    assert "worker " not in running.log


def test_a_second_ctrl_c_does_not_wait(up: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "sixty_seconds.py").write_text(
        "import time\nfrom gopher import handler\n"
        "@handler('slow')\ndef slow(job, payload):\n    job.log('begun')\n    time.sleep(60)\n"
    )
    running = up(GOPHER_HANDLERS="sixty_seconds", WORKER_JOB_TIMEOUT="60s")
    address = running.wait_until_ready()
    job_id = running.submit(type="slow", payload={})
    wait_until(lambda: call(address, "GET", f"/api/v1/jobs/{job_id}/logs")["lines"])
    running.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping part=worker" in running.log)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_nothing_is_left_when_it_is_killed(up: Callable[..., Running]) -> None:
    running = up()
    running.wait_until_ready()
    children = running.children()
    assert children.keys() == {"web", "worker", "scheduler", "server"}
    running.process.kill()
    running.process.wait()
    wait_until(lambda: not any(child.is_running() for child in children.values()))
