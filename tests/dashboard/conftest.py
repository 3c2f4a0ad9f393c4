"""The dashboard of a real API, with a real worker behind it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from gopher.client import Client
from tests.app.conftest import Api, running_api
from tests.dashboard.reading import Page
from tests.dashboard.strings import ATTACKS
from tests.seeding import SeedingWorker
from tests.worker.processes import ROOT, Worker

HANDLERS = {"GOPHER_HANDLERS": "gopher.handlers,tests.dashboard.handlers", "PYTHONPATH": str(ROOT)}
KEYS = "shop:submit-secret:submit,board:read-secret:read,ops:admin-secret"


@pytest.fixture(scope="package")
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gopher-board-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def client(redis_url: str) -> Iterator[Client]:
    with Client(redis_url, namespace=f"board-{uuid4().hex[:12]}") as client:
        yield client


@pytest.fixture(scope="package")
def board(folder: Path, client: Client) -> Iterator[Api]:
    """An API without keys: everybody on this machine may do everything."""
    with running_api(folder, client.settings.redis_url, GOPHER_NAMESPACE=client.settings.namespace, **HANDLERS) as api:
        yield api


@pytest.fixture(scope="package")
def locked(folder: Path, client: Client) -> Iterator[Api]:
    """An API with keys, of the same jobs."""
    variables = {"GOPHER_NAMESPACE": client.settings.namespace, "GOPHER_API_KEYS": KEYS, "WEB_CONCURRENCY": "1"}
    with running_api(folder, client.settings.redis_url, **variables, **HANDLERS) as api:
        yield api


@pytest.fixture(scope="package")
def running(folder: Path, client: Client) -> Iterator[Worker]:
    """A worker of two children that serves the queue `default`."""
    worker = Worker(client, folder, **HANDLERS)
    yield worker
    worker.destroy()


@pytest.fixture(scope="package")
def speaking(client: Client, running: Worker) -> list[str]:
    """Jobs that say every attack wherever a job can say something."""
    texts = [text.replace("\0", "") for text in ATTACKS]
    options = {"metadata": {text: text for text in texts}, "max_retries": 0}
    ids = [client.enqueue(kind, {"texts": texts, **dict.fromkeys(texts, 1)}, **options) for kind in ("speak", "break")]
    ids += [client.enqueue("break", {"texts": [text]}, max_retries=0) for text in texts]
    for job_id in ids:
        assert client.wait(job_id, 60).finished_at
    return ids


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses, and no worker serves."""
    return f"queue-{uuid4().hex[:8]}"


@pytest.fixture
def worker(client: Client, queue: str) -> SeedingWorker:
    client.server.register_queues(queue)
    return SeedingWorker(client, queue)


@pytest.fixture
def read(board: Api) -> Callable[..., Page]:
    """Open a page as everybody sees it."""

    def _read(path: str, **parameters: str) -> Page:
        return Page(board.get(f"/dashboard{path}", params=parameters, follow_redirects=True))

    return _read


@contextmanager
def sign_in(api: Api, secret: str) -> Iterator[Api]:
    """Yield a new visitor of the same API, signed in."""
    with Api(api.base_url.port, api.process, api.log) as visitor:
        answer = visitor.post("/dashboard/sign-in", data={"key": secret, "next": "/dashboard/jobs"})
        assert answer.status_code == 303, answer.text
        yield visitor


def sampled(client: Client, queue: str) -> None:
    """Take a sample, as a scheduler does every ten seconds; what was taken before is made older."""
    client.server.run(client.server.queue(queue).sample())
    key = client.server.keys.for_queue(queue).timeline(10_000)
    rows = client.server.client.zrange(key, 0, -1, withscores=True)
    client.server.client.zadd(key, {row: slot - 10_000 for row, slot in rows})


@pytest.fixture
def press(board):
    """Press a button on a page; return the page that comes after."""

    def _press(path: str, button: str, **fields: str) -> Page:
        # Of several forms that go to one place the first will do: it is the fields that differ.
        action, sent = next(Page(board.get(f"/dashboard{path}")).buttons(button))
        return Page(board.post(action, data={**sent, **fields}, follow_redirects=True))

    return _press
