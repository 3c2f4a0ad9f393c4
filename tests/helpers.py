"""What tests of every part use."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
#: A number that sets the ports of one of several runs apart, which `make test-deep` has.
PORTS = "GOPHER_TESTS_PORTS"
#: Where handlers of the tests note that an attempt has started: a file per job, a line per attempt (tests.conftest).
STARTED = "GOPHER_TESTS_STARTED"


def wait_until(condition: Callable[[], T], timeout: float = 60.0, what: str = "") -> T:
    """Return the first true value of `condition`, polled; fail, saying what was last seen, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", repr(condition))
            raise AssertionError(f"waited {timeout:g} s for {name}; it was last {value!r}")
        time.sleep(0.01)


def note_started(job_id: str) -> None:
    """Note, in a handler, that the job has started, and that all is ready for whatever a test does to it next."""
    if folder := os.environ.get(STARTED):
        with open(os.path.join(folder, job_id), "a") as file:
            file.write("started\n")


def wait_until_started(*job_ids: str, times: int = 1, timeout: float = 60.0) -> None:
    """Wait until the handlers of jobs have started, `times` times each; they are handlers that call `note_started`.

    For the server a job is `processing` as soon as it is given out, while its reply is still on the way to the worker.
    So whoever stops, kills, freezes, cuts off or interrupts a worker or its job waits for this instead.
    """
    folder = Path(os.environ[STARTED])

    def started() -> bool:
        files = [folder / job_id for job_id in job_ids]
        return all(file.exists() and len(file.read_text().splitlines()) >= times for file in files)

    wait_until(started, timeout, f"the handlers of {job_ids} to start")


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, and that no outgoing connection gets before a test's server listens there."""
    ports: list[int] = []
    # Each process of pytest has its own: another one could get a port before the server listens there. All of them,
    # and those of cluster buses, 10,000 above, are below those that systems give to connections.
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) + int(os.environ.get(PORTS, "0"))
    first = 12_000 + 2_500 * (number % 4)
    # Hypothesis fixes the seed of the other generator.
    dice = random.SystemRandom()
    while len(ports) < count:
        port = dice.randrange(first, first + 2_500)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in ports:
                ports.append(port)
    return ports


def free_port() -> int:
    return free_ports(1)[0]


def make_certificate(folder: Path, name: str) -> Path:
    """Make a certificate for a host, signed by itself, with its key in the same file. Needs openssl."""
    path = folder / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout".split()
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, path, "-out", folder / "cert.pem", *names], check=True, capture_output=True)
    with path.open("ab") as file:
        file.write((folder / "cert.pem").read_bytes())
    return path
