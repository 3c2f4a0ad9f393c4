"""Workers and schedulers as real processes; each test, or each module, has a key space of its own."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from gopher.worker.children.pool import Pool

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from gopher.server.embedded import EmbeddedServer
from tests.worker.children import new_child
from tests.worker.processes import Process, Scheduler, Worker, patient_client


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with patient_client(redis_url, namespace) as client:
        yield client


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """What a test has started; all of it is killed at the end."""
    started: list[Process] = []
    yield started
    for process in started:
        process.destroy()


@pytest.fixture
def start_worker(client: Client, tmp_path: Path, started: list[Process]) -> Callable[..., Worker]:
    """Start a worker with these variables, and wait until it is there."""

    def start(of: Client = client, **environ: str) -> Worker:
        worker = Worker(of, tmp_path, **environ)
        started.append(worker)
        return worker

    return start


@pytest.fixture
def start_scheduler(client: Client, tmp_path: Path, started: list[Process]) -> Callable[..., Scheduler]:
    def start(of: Client = client, **environ: str) -> Scheduler:
        scheduler = Scheduler(of, tmp_path, **environ)
        started.append(scheduler)
        return scheduler

    return start


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that a test may kill.

    It has written down what it answers: with `everysec` a write waits while the disk is busy with the one before, and
    a kill loses what was acknowledged meanwhile.
    """
    folder = Path(tempfile.mkdtemp(prefix="gopher-server-"))
    try:
        with EmbeddedServer(folder, options={"appendfsync": "always"}) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_client(own_server: EmbeddedServer) -> Iterator[Client]:
    with patient_client(own_server.url) as client:
        yield client


@pytest.fixture(scope="module")
def shared(redis_url: str) -> Iterator[Worker]:
    """One worker of two children and one scheduler for all tests of a module: most leave them as they were."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-worker-"))
    with Client(redis_url, namespace=f"test-{uuid4().hex[:12]}") as client:
        worker = Worker(client, folder, GOPHER_HANDLERS="gopher.handlers,tests.monsters")
        scheduler = Scheduler(client, folder)
        try:
            yield worker
        finally:
            worker.destroy()
            scheduler.destroy()
            shutil.rmtree(folder)


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A pool with one child that never runs."""
    pool = Pool(Settings(worker_concurrency=1), Registry(), list)
    pool.children[1] = child = new_child()
    yield pool
    pool.close(child)
