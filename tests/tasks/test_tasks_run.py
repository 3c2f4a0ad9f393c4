"""Tasks in a real worker, submitted to the server and over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gopher import Client, HttpClient, JobFailed
from gopher.errors import InvalidJob
from gopher.interface import Gopher
from gopher.tasks.default_client import submitting_by
from tests.app.conftest import running_api
from tests.tasks import shop_tasks as shop
from tests.worker.processes import Worker

#: `make test` has the examples of docs/handlers.md, which run in a real worker as well.
pytestmark = pytest.mark.deep

MODULES = {"GOPHER_HANDLERS": "tests.tasks.shop_tasks"}


@pytest.fixture(scope="module")
def clients(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gopher]]:
    folder = tmp_path_factory.mktemp("tasks")
    root = str(Path(__file__).parents[2])
    with Client(redis_url, namespace=f"test-{folder.name}") as client:
        worker = Worker(client, folder, **MODULES, WORKER_CONCURRENCY="1")
        variables = {**MODULES, "GOPHER_NAMESPACE": client.settings.namespace, "PYTHONPATH": root}
        try:
            with (
                running_api(folder, redis_url, WEB_CONCURRENCY="1", **variables) as api,
                HttpClient(str(api.base_url)) as http,
            ):
                yield [client, http]
        finally:
            worker.destroy()


@pytest.fixture(params=["the server", "the API"])
def client(clients: list[Gopher], request: pytest.FixtureRequest) -> Iterator[Gopher]:
    client = clients[request.param == "the API"]
    with submitting_by(client):
        yield client


def test_a_result_comes_back_as_the_type_of_its_annotation(client: Gopher) -> None:
    assert shop.send_mail.delay("ab", n=3).result(timeout=60) == "ababab"
    assert [each.result(60) for each in shop.send_mail.map(["a", "b"])] == ["a", "b"]
    assert shop.fetch.delay("a").result("60s") == b"a"
    assert shop.export.delay("orders").result(60) == {"table": "orders", "type": shop.export.name}
    # A task that submits others has a client of its own, made in the worker's child.
    pages = shop.pages.delay(2).result(60)
    assert [shop.send_mail.handle(page).result(60) for page in pages] == ["page 0", "page 1"]


def test_a_failure_has_the_traceback_of_the_function_alone(client: Gopher) -> None:
    with pytest.raises(JobFailed) as caught:
        shop.export.delay("broken").result(60)
    lines = caught.value.traceback.splitlines()
    assert lines[1].startswith(f'  File "{shop.__file__}", line ')
    assert lines[-1] == "LookupError: no table broken"
    assert len(lines) == 4
    with pytest.raises(InvalidJob, match="/payload/to: expected `str`, got `int`"):
        shop.send_mail.delay(3)


def test_an_exception_that_is_not_named_and_a_timeout_are_not_retried(client: Gopher) -> None:
    with pytest.raises(JobFailed, match="ValueError: attempt 1"):
        shop.unsteady.options(timeout="60s").delay("ValueError").result(60)
    with pytest.raises(JobFailed, match="Timeout: ran longer than its timeout of 200ms"):
        shop.unsteady.delay("timeout").result(60)
