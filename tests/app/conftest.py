"""A real API for the tests: gunicorn with its processes, on a port of this machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from gopher.app.application import Application
from jinja2.bccache import Bucket, BytecodeCache

from gopher.client import Client
from tests.app.document import check_answer
from tests.helpers import free_port, wait_until
from tests.seeding import SeedingWorker
from tests.worker.nursery import Raised, can_raise

EMAIL = {"to": "user@example.com", "subject": "Hello", "body": "Test email"}
#: About how many cases test_generated makes (`make fuzz`: 5,000, and then they are not among the deep tests).
GENERATED_CASES = int(os.environ.get("GOPHER_TEST_GENERATED", "400"))
IS_FUZZ = GENERATED_CASES >= 5000


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests of all operations take seconds and 900 MB to make: not in each process that leaves them out."""
    is_left_out = config.option.markexpr in ("not deep", "deep and quiet") and not IS_FUZZ
    return (is_left_out and collection_path.name == "test_generated.py") or None


class _Compiled(BytecodeCache):
    """Templates that an application of this process has compiled: each would compile them anew."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


Application.jinja_options = {**Application.jinja_options, "bytecode_cache": _Compiled()}


class Api(httpx.Client):
    """A running API, to send requests to. Whatever it answers has to be as its document says."""

    def __init__(self, port: int, process: "Raised | subprocess.Popen[bytes]", log: Path) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=40, event_hooks={"response": [check_answer]})
        self.process = process
        self.log = log

    def submit(self, payload=EMAIL, **fields):
        return self.post("/api/v1/jobs", json={"type": "email", "payload": payload, **fields})


def _start(environ: dict[str, str], folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", "gopher.app"]
        return subprocess.Popen(command, env=environ, cwd=folder, stdout=output, stderr=output)


@contextmanager
def running_api(folder: Path, url: str, **variables: str) -> Iterator[Api]:
    """Run the API as `gopherctl web` does, until it is ready; yield a client of it."""
    port, log = free_port(), folder / f"api-{uuid4().hex[:6]}.log"
    environ = {**os.environ, "REDIS_URL": url, "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(port), **variables}
    # Of the applications that tests make in this process: those that run count for themselves.
    if "PROMETHEUS_MULTIPROC_DIR" not in variables:
        environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if can_raise(variables):
        # Gunicorn, which it becomes, is a program of its own as ever.
        process = Raised("gopher.app", environ, folder, log, safe_path=True)
    else:
        process = _start(environ, folder, log)
    try:
        with Api(port, process, log) as api:
            wait_until(lambda: answers(api), 60, f"the API; its log: {log}")
            yield api
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def answers(api: Api) -> bool:
    assert api.process.poll() is None, api.log.read_text()
    try:
        return api.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="session")
def api_namespace() -> str:
    return f"api-{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def api(folder, redis_url, api_namespace) -> Iterator[Api]:
    """The API that most tests share: each uses a queue of its own."""
    with running_api(folder, redis_url, GOPHER_NAMESPACE=api_namespace) as api:
        yield api


@pytest.fixture(scope="session")
def client(redis_url, api_namespace) -> Iterator[Client]:
    """The same installation from inside, to see what was stored."""
    with Client(redis_url, namespace=api_namespace) as client:
        yield client


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"queue-{uuid4().hex[:8]}"


@pytest.fixture
def worker(client, queue) -> SeedingWorker:
    client.server.register_queues(queue)
    return SeedingWorker(client, queue)
