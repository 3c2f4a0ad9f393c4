"""A worker on a host of its own, whose cable is pulled; one that is the first process of a container; one on a host
that allows no more processes.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from gopher.client import Client
from gopher.server.embedded import EmbeddedServer, find_server
from tests.faults.ledger import VARIABLE, read
from tests.helpers import free_port, wait_until
from tests.worker.processes import QUICK, Process, Scheduler, result_of

LEASE = 3.0


def _may(*command: str) -> bool:
    """Return whether we are allowed to, and able to."""
    return (
        shutil.which(command[0]) is not None
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Hosts:
    """Two hosts with a cable between them: network namespaces that see nothing but each other."""

    SERVER = "10.213.7.1"

    def __init__(self) -> None:
        mark = uuid4().hex[:6]
        self.near, self.far = f"gopher-{mark}-a", f"gopher-{mark}-b"
        self._plug = f"g{mark}a"
        ends = ((self.near, self._plug, self.SERVER), (self.far, f"g{mark}b", "10.213.7.2"))
        for host, _, _ in ends:
            _run("ip", "netns", "add", host)
        _run("ip", "link", "add", ends[0][1], "type", "veth", "peer", "name", ends[1][1])
        for host, plug, address in ends:
            _run("ip", "link", "set", plug, "netns", host)
            _run("ip", "-n", host, "address", "add", f"{address}/24", "dev", plug)
            _run("ip", "-n", host, "link", "set", plug, "up")

    def pull(self) -> None:
        """What is sent is lost from now on, and nobody is told."""
        _run("ip", "-n", self.near, "link", "set", self._plug, "down")

    def plug_in(self) -> None:
        _run("ip", "-n", self.near, "link", "set", self._plug, "up")

    def remove(self) -> None:
        for host in (self.near, self.far):
            subprocess.run(["ip", "netns", "delete", host], check=False, capture_output=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    probe = f"gopher-{uuid4().hex[:6]}"
    if sys.platform != "linux" or not _may("ip", "netns", "add", probe):
        pytest.skip("needs iproute2 and the right to make network namespaces")
    _run("ip", "netns", "delete", probe)
    made = Hosts()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def client(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Reaches the server by its socket, whatever becomes of the cable."""
    folder = tmp_path_factory.mktemp("near")
    program = folder / "server"
    program.write_text(f'#!/bin/sh\nexec ip netns exec {hosts.near} {find_server()} "$@"\n')
    program.chmod(0o755)
    options = {"bind": Hosts.SERVER, "protected-mode": "no"}
    with (
        EmbeddedServer(folder / "data", program=program, port=6379, options=options) as server,
        Client(server.url) as c,
    ):
        yield c


@pytest.fixture(scope="module")
def far_worker(hosts: Hosts, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("far")
    environ = {
        **QUICK,
        "REDIS_URL": f"redis://{Hosts.SERVER}:6379",
        "WORKER_LEASE": f"{LEASE:g}s",
        "GOPHER_HANDLERS": "tests.faults.handlers",
        VARIABLE: str(folder / "ledger"),
    }
    worker = Process("worker", environ, folder, ["ip", "netns", "exec", hosts.far])
    scheduler = Scheduler(client, folder, WORKER_LEASE=f"{LEASE:g}s")
    try:
        wait_until(lambda: [view for view in client.workers() if view.children], 60, "the worker to show itself")
        yield worker
    finally:
        worker.destroy()
        scheduler.destroy()


def _attempts(worker: Process, job_id: str) -> int:
    (ledger,) = Path(worker.folder).glob("ledger")
    return sum(entry.event == "start" for entry in read(ledger) if entry.job_id == job_id)


def test_a_job_delivered_to_an_unreachable_worker_runs_when_the_cable_is_back(hosts, client, far_worker):
    hosts.pull()
    # The server gives it to the connection that waits, for all it knows.
    job_id = client.enqueue("faults.work", {})
    wait_until(lambda: not client.workers(), 60, "the worker's lease to run out")
    hosts.plug_in()
    assert client.wait(job_id, 60).status == "completed"
    assert _attempts(far_worker, job_id) == 1
    assert far_worker.running


def test_a_job_that_ran_while_the_cable_was_out_is_run_again_and_its_first_result_refused(hosts, client, far_worker):
    job_id = client.enqueue("faults.linger", {"seconds": 2})
    # Not its state on the server: what gives it to the worker may still be on the way.
    wait_until(lambda: _attempts(far_worker, job_id) == 1)
    hosts.pull()
    wait_until(lambda: client.job(job_id).status in ("pending", "retrying"), 60, "its rescue")
    hosts.plug_in()
    job = client.wait(job_id, 60)
    assert (job.status, result_of(job)) == ("completed", {"attempt": 2})
    assert _attempts(far_worker, job_id) == 2


@pytest.fixture
def first_process(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Process]:
    if sys.platform != "linux" or not _may("unshare", "--fork", "--pid", "--mount-proc", "true"):
        pytest.skip("needs util-linux and the right to make pid namespaces")
    environ = {**QUICK, "REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace}
    process = Process("worker", environ, tmp_path, ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"])
    yield process
    process.destroy()


def _is_zombie(process: psutil.Process) -> bool:
    # It may have been reaped since it was listed.
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return False


def test_a_worker_with_pid_1_reaps_orphans_and_stops_on_a_signal(first_process, redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        # Its child dies, and leaves a program to us.
        job_id = client.enqueue("orphan", {})
        assert client.wait(job_id, 60).status == "failed"
        (supervisor,) = psutil.Process(first_process.pid).children()
        wait_until(lambda: not any(map(_is_zombie, supervisor.children())))
        wait_until(lambda: [view.pid for view in client.workers()] == [1])
    os.kill(supervisor.pid, signal.SIGTERM)
    with suppress(psutil.NoSuchProcess):
        supervisor.wait(60)
    assert first_process.wait() == 0


@pytest.mark.parametrize(("part", "code"), [("worker", 143), ("scheduler", 143), ("app", 0)])
def test_a_first_process_that_is_still_starting_ends_when_told(redis_url, namespace, tmp_path, part, code):
    """As in a container. Signals without a handler are ignored there, and handlers may take long to import."""
    if sys.platform != "linux" or not _may("unshare", "--fork", "--pid", "--mount-proc", "true"):
        pytest.skip("needs util-linux and the right to make pid namespaces")
    hold = tmp_path / "hold"
    hold.touch()
    environ = {**QUICK, "REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "GOPHER_HANDLERS": "tests.slow_handlers"}
    environ |= {"HOLD": str(hold), "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(free_port()), "WEB_CONCURRENCY": "2"}
    process = Process(part, environ, tmp_path, ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"])
    try:
        wait_until(lambda: list(tmp_path.glob("hold.*")), 60)
        (first,) = psutil.Process(process.pid).children()
        first.terminate()
        assert process.wait(60) == code
    finally:
        process.destroy()


@pytest.fixture
def allowance() -> Iterator[Path]:
    """A control group for processes; how many is written into its `pids.max`."""
    group = Path("/sys/fs/cgroup/pids") / f"gopher-{uuid4().hex[:6]}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("needs control groups (version 1) and the right to make them")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text(), 60, "its processes to end")
    group.rmdir()


def test_a_worker_that_may_not_fork_works_with_what_it_has_until_it_may(allowance, redis_url, namespace, tmp_path):
    (allowance / "pids.max").write_text("2")
    environ = {**QUICK, "REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "WORKER_CONCURRENCY": "3"}
    enter = ["sh", "-c", f'echo $$ > {allowance}/cgroup.procs; exec "$@"', "sh"]
    worker = Process("worker", environ, tmp_path, enter)
    try:
        with Client(redis_url, namespace=namespace) as client:
            ids = client.enqueue_many({"type": "pid", "payload": {}} for _ in range(20))
            assert {client.wait(job_id, 60).status for job_id in ids} == {"completed"}
            assert len(worker.children()) == 1
            wait_until(lambda: "can't start a child" in worker.log)
            (allowance / "pids.max").write_text("max")
            wait_until(lambda: len(worker.children()) == 3, 60, "three children")
    finally:
        worker.destroy()
