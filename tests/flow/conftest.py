"""A real worker or two and a scheduler, and the ledger that the handlers write."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from gopher.client import Client
from tests.helpers import free_port, wait_until
from tests.worker.nursery import ROOT, Raised


class Line(NamedTuple):
    type: str
    key: str
    start: float
    end: float
    attempt: int


class System:
    """Processes of one namespace."""

    def __init__(self, environ: dict[str, str], client: Client, ledger: Path) -> None:
        self._environ, self.client, self._ledger = environ, client, ledger
        self.processes: list[Raised] = []
        self._clients: list[httpx.Client] = []

    def start(self, part: str, **more: str) -> Raised:
        log = self._ledger.with_name(f"{part}-{len(self.processes)}.log")
        self.processes.append(Raised(f"gopher.{part}", {**self._environ, **more}, self._ledger.parent, log))
        return self.processes[-1]

    def workers(self, count: int, concurrency: int = 4, **more: str) -> None:
        """Start workers, and wait until all of their children are there: a worker shows itself before."""
        new = {self.start("worker", WORKER_CONCURRENCY=str(concurrency), **more).pid for _ in range(count)}
        wait_until(
            lambda: new <= {view.pid for view in self.client.workers() if len(view.children) >= concurrency},
            what="workers with all of their children",
        )

    def api(self) -> httpx.Client:
        """Run the API; return a client of it that many threads may share."""
        port = free_port()
        process = self.start("app", SERVER_HOST="127.0.0.1", SERVER_PORT=str(port))
        api = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1",
            timeout=40,
            limits=httpx.Limits(max_connections=None),
            # One thread of httpx may close an idle connection that another one has just begun to use.
            headers={"Connection": "close"},
        )
        self._clients.append(api)

        def answers() -> bool:
            assert process.poll() is None
            try:
                return api.get("/jobs/types").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, 60)
        return api

    def lines(self, kind: str | None = None) -> list[Line]:
        rows = [line.split() for line in self._ledger.read_text().splitlines()]
        lines = [Line(row[0], row[1], float(row[2]), float(row[3]), int(row[4])) for row in rows]
        return [line for line in lines if kind in (None, line.type)]

    def stop(self) -> None:
        for api in self._clients:
            api.close()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._ledger.parent.glob("*.log"):
            # Shown where a test fails.
            sys.stdout.write(log.read_text(errors="replace"))


@pytest.fixture
def system(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[System]:
    with running_system(redis_url, namespace, tmp_path) as system:
        yield system


@contextmanager
def running_system(redis_url: str, namespace: str, folder: Path) -> Iterator[System]:
    """Yield a system without any process yet; those that were started are stopped in the end."""
    ledger = folder / "ledger"
    ledger.touch()
    environ = {
        **os.environ,
        "REDIS_URL": redis_url,
        "GOPHER_NAMESPACE": namespace,
        "GOPHER_HANDLERS": "tests.flow.ledger_handlers",
        "PYTHONPATH": str(ROOT),
        "LEDGER": str(ledger),
        "WORKER_LEASE": "15s",
        "WORKER_KILL_GRACE": "500ms",
        "LOG_LEVEL": "warning",
    }
    with Client(redis_url, namespace=namespace) as client:
        system = System(environ, client, ledger)
        try:
            yield system
        finally:
            system.stop()


@pytest.fixture
def ended(system: System) -> Callable[..., list[str]]:
    """Wait until jobs have ended and return their states."""

    def _ended(ids: list[str], timeout: float = 40) -> list[str]:
        return [system.client.wait(job_id, timeout).status for job_id in ids]

    return _ended
