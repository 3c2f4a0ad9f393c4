"""A whole installation that traces: API, worker and scheduler, and a receiver of what they export."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gopher.client import Client
from tests.app.conftest import Api, running_api
from tests.tracing.receiver import Receiver, receiving
from tests.worker.processes import Process, Scheduler, Worker


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def tracing_on(receiver: Receiver) -> dict[str, str]:
    """The variables that turn tracing on, with short waits."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "GOPHER_HANDLERS": "tests.tracing.handlers",
    }


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[Client]:
    with Client(redis_url, namespace=f"traced-{uuid4().hex[:12]}") as client:
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traced")


@pytest.fixture(scope="module")
def start(client: Client, folder: Path) -> Iterator[Callable[..., Process]]:
    """Start a worker or a scheduler; all are killed at the end."""
    started: list[Process] = []

    def start(kind: type[Process], **environ: str) -> Process:
        started.append(kind(client, folder, **environ))
        return started[-1]

    yield start
    for process in started:
        process.destroy()


@pytest.fixture(scope="module")
def api(folder: Path, client: Client, tracing_on: dict[str, str]) -> Iterator[Api]:
    environ = {
        **tracing_on,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "GOPHER_NAMESPACE": client.settings.namespace,
    }
    with running_api(folder, client.settings.redis_url, **environ) as api:
        yield api


@pytest.fixture(scope="module")
def worker(start: Callable[..., Process], tracing_on: dict[str, str]) -> Process:
    return start(Worker, WORKER_POLL_INTERVAL="100ms", **tracing_on)


@pytest.fixture(scope="module")
def scheduler(start: Callable[..., Process], tracing_on: dict[str, str]) -> Process:
    return start(Scheduler, **tracing_on)
