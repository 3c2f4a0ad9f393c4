"""Sessions and engines of SQLAlchemy in handlers, on real PostgreSQL."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from gopher.client import Client
from tests.helpers import wait_until
from tests.worker.processes import error_of, result_of

from .conftest import Project

pytestmark = pytest.mark.deep

ROOT = Path(__file__).parent / "sqlalchemy_project"


@pytest.fixture
def shop(postgres, redis_url, tmp_path):
    database = f"sqlalchemy-{uuid4().hex[:8]}"
    url = postgres.create(database).replace("postgresql:", "postgresql+psycopg:")
    with Client(redis_url, namespace=f"test-{database}") as client:
        environ = {"REDIS_URL": redis_url, "GOPHER_NAMESPACE": client.settings.namespace, "GOPHER_HANDLERS": "shop"}
        project = Project(ROOT, client, tmp_path, SHOP_DATABASE_URL=url, WORKER_CONCURRENCY="3", **environ)
        with project.running(sys.executable, "-m", "gopher.cli", "worker"):
            project.database = database
            yield project


def customers(shop, postgres):
    return sorted(name for (name,) in postgres.ask(shop.database, "SELECT customer FROM orders"))


def test_a_session_is_committed_or_rolled_back_with_its_job_and_survives_restarts(shop, postgres):
    client = shop.client

    def run(job_type, **payload):
        return client.wait(client.enqueue(job_type, payload), 60)

    assert run("order", customer="ann").status == "completed"
    assert error_of(run("order", customer="fails"))["type"] == "ValueError"
    # The commit of a second Ann fails, and so does her job.
    assert error_of(run("order", customer="ann"))["type"] == "IntegrityError"
    assert customers(shop, postgres) == ["ann"]
    # A flush that has failed leaves nothing to the next jobs of the child.
    for _ in range(6):
        assert error_of(run("flush"))["type"] == "IntegrityError"
    assert [run("order", customer=name).status for name in "abcdef"] == ["completed"] * 6
    assert customers(shop, postgres) == ["a", "ann", "b", "c", "d", "e", "f"]

    jobs = client.enqueue_many([{"type": "count", "payload": {"seconds": 0.2}}] * 40)
    wait_until(lambda: client.stats().queues["default"].totals["completed"] > 12)
    postgres.restart()
    assert [status for status, _ in shop.outcomes(jobs)] == ["completed"] * 40
    seen = [result_of(client.job(job)) for job in jobs]
    # Every child has had its own connections, none of them the one from before the fork.
    owners = {backend: {process for process, each in seen if each == backend} for _, backend in seen}
    assert all(len(processes) == 1 for processes in owners.values())
