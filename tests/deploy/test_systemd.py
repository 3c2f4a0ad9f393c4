"""The units for systemd, and what the processes tell it: READY=1 once they work, and signs of life from their loops."""

import shutil
import signal
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from gopher.client import Client
from tests.helpers import free_port, wait_until
from tests.worker.processes import ROOT, Process, where

pytestmark = pytest.mark.deep


class Systemd:
    """The datagram socket that systemd gives to the main process of a unit; it accepts what that process sends."""

    def __init__(self, address: str) -> None:
        self.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "900000"}
        #: (pid, message) of all that was received.
        self.received: list[tuple[int, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.setblocking(False)

    def counts(self, pid: int) -> Counter[str]:
        """Return how often a process has sent each message; fail if another one has sent any."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(1000, socket.CMSG_SPACE(12))
            except BlockingIOError:
                break
            sender, _, _ = struct.unpack("3i", ancillary[0][2])
            self.received.append((sender, data.decode()))
        assert {sender for sender, _ in self.received} <= {pid}
        return Counter(message for _, message in self.received)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path) -> Iterator[Systemd]:
    systemd = Systemd(f"{tmp_path}/notify")
    yield systemd
    systemd.close()


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.mark.parametrize("part", ["app", "worker", "scheduler"])
def test_a_process_tells_systemd_that_it_is_ready_that_it_runs_and_that_it_stops(part, systemd, client, tmp_path):
    port = {"SERVER_PORT": str(free_port())} if part == "app" else {}
    process = Process(part, {**where(client), **systemd.environ, **port, "WORKER_CONCURRENCY": "2"}, tmp_path)
    try:
        wait_until(lambda: systemd.counts(process.pid)["READY=1"], 60, "READY=1")
        if part == "app":
            with socket.create_connection(("127.0.0.1", int(port["SERVER_PORT"])), timeout=60):
                pass
        elif part == "worker":
            assert [view.pid for view in client.workers()] == [process.pid]
        seen = systemd.counts(process.pid)["WATCHDOG=1"]
        wait_until(lambda: systemd.counts(process.pid)["WATCHDOG=1"] >= seen + 3, 60, "signs of life")
        # There is no room for more than some ten messages, and STOPPING=1 is sent once: begin with none of them.
        process.send(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        systemd.counts(process.pid)
        process.send(signal.SIGTERM, signal.SIGCONT)
        assert process.wait(60) == 0
        counts = systemd.counts(process.pid)
        assert (counts["READY=1"], counts["STOPPING=1"]) == (1, 1)
        assert [message for _, message in systemd.received if message != "WATCHDOG=1"] == ["READY=1", "STOPPING=1"]
    finally:
        process.destroy()


def test_a_scheduler_is_not_ready_while_its_server_does_not_answer(systemd, client, tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        environ = {"REDIS_URL": url, "REDIS_TIMEOUT": "500ms", **systemd.environ}
        process = Process("scheduler", environ, tmp_path)
        try:
            wait_until(lambda: systemd.counts(process.pid)["WATCHDOG=1"] >= 3, 60, "signs of life")
            assert not systemd.counts(process.pid)["READY=1"]
        finally:
            process.destroy()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_the_units_are_valid_and_confined(tmp_path):
    shutil.copytree(ROOT / "deploy/systemd", tmp_path, dirs_exist_ok=True)
    for unit in tmp_path.glob("*.service"):
        # Nothing is installed there.
        unit.write_text(unit.read_text().replace("/opt/gopher/bin/gopherctl", shutil.which("true") or ""))
    units = sorted(map(str, tmp_path.glob("*.service")))
    assert len(units) == 3
    for command in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20"]):
        said = subprocess.run(["systemd-analyze", *command, *units], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
        assert not [line for line in said.stderr.splitlines() if "gopher" in line], said.stderr
