"""A worker's and a scheduler's own health, as a container's probe asks for it."""

import os
import signal
import subprocess

import psutil
import pytest
from gopher.cli.processes import gopherctl

from tests.helpers import wait_until


def probe(path):
    command = gopherctl("health", "--worker", "--health-file", str(path))
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("part", ["start_worker", "start_scheduler"])
def test_a_process_that_lives_is_told_from_one_that_hangs_and_one_that_left(request, part, tmp_path):
    path = tmp_path / "health"
    process = request.getfixturevalue(part)(GOPHER_HEALTH_FILE=str(path), WORKER_LEASE="3s")
    wait_until(path.exists)
    # It may have been held up, and seem to hang.
    said = wait_until(lambda: (found := probe(path)).returncode == 0 and found, 20, "the probe to say yes")
    assert (said.returncode, said.stdout.strip()) == (0, f"process {process.pid} is alive")
    process.send(signal.SIGSTOP)
    try:
        # Until then it may write once more.
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        # As if so much time had passed.
        os.utime(path, (0, 0))
        said = probe(path)
        assert said.returncode == 1
        assert f"process {process.pid} hangs" in said.stderr
    finally:
        process.send(signal.SIGCONT)
    wait_until(lambda: probe(path).returncode == 0, 15, "another beat")
    assert process.stop() == 0
    assert probe(path).returncode == 1


def test_a_worker_that_hears_nothing_lives_but_is_not_well(own_server, start_worker, namespace, tmp_path):
    from gopher.client import Client

    path = tmp_path / "health"
    with Client(own_server.url, namespace=namespace) as client:
        worker = start_worker(client, GOPHER_HEALTH_FILE=str(path), WORKER_LEASE="3s", WORKER_POLL_INTERVAL="1s")
        wait_until(path.exists)
        own_server.stop()
        words = f"process {worker.pid} is alive, but its server has not responded since"
        # A worker that is held up for a moment seems to hang.
        said = wait_until(lambda: words in (found := probe(path)).stderr and found, 40, "the probe to say why")
        assert said.returncode == 1
        written = path.stat().st_mtime
        wait_until(lambda: path.stat().st_mtime > written, 20, "it to go on")


def test_a_health_file_that_can_not_be_written_stops_it_at_the_start(client, tmp_path):
    from tests.worker.processes import Process, where

    worker = Process("worker", {**where(client), "GOPHER_HEALTH_FILE": str(tmp_path / "no" / "file")}, tmp_path)
    assert worker.wait() == 1
    assert "can't write it" in worker.log
