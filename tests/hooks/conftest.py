"""A worker whose handlers run within middleware that writes down what it hears."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gopher.client import Client
from tests.helpers import wait_until
from tests.worker.conftest import client, start_worker, started
from tests.worker.processes import Worker

__all__ = ["client", "start_worker", "started"]


class Noted:
    """A worker, and the notes of its middleware."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.folder, self.notes = client, folder, folder / "notes"
        self.worker = Worker(
            client,
            folder,
            GOPHER_HANDLERS="tests.hooks.noted_handlers",
            WORKER_LEASE="3s",
            NOTES=str(self.notes),
            WORKER_CONCURRENCY="1",
        )

    def lines(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def clear(self) -> None:
        for path in self.folder.glob("notes*"):
            path.unlink()

    def run(self, job_type: str, payload: object = None, **options):
        return self.client.wait(self.client.enqueue(job_type, payload or {}, **{"max_retries": 0, **options}), 30)

    def heard(self, line: str, times: int = 1) -> None:
        """Wait until a line was noted."""
        wait_until(lambda: self.lines().count(line) >= times, 15, f"{line!r}; there is {self.lines()}")


@pytest.fixture(scope="module")
def noted_worker(redis_url) -> Iterator[Noted]:
    folder = Path(tempfile.mkdtemp(prefix="gopher-hooks-"))
    with Client(redis_url, namespace=f"test-{folder.name}") as client:
        noted = Noted(client, folder)
        try:
            yield noted
        finally:
            noted.worker.destroy()
            shutil.rmtree(folder)


@pytest.fixture
def noted(noted_worker) -> Noted:
    noted_worker.clear()
    return noted_worker
