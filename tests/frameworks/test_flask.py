"""The extension for Flask: an application factory, a request that submits, and `flask gopher worker`."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from gopher import task
from gopher.client import Client
from gopher.errors import InvalidJob
from gopher.integrations.project import environment
from gopher.registry import registry
from tests.helpers import wait_until
from tests.worker.processes import error_of, result_of

from .conftest import Project

ROOT = Path(__file__).parent / "flask_project"


@pytest.fixture
def shop(redis_url, tmp_path, monkeypatch):
    with Client(redis_url, namespace=f"test-flask-{uuid4().hex[:8]}") as client:
        project = Project(ROOT, client, tmp_path, SHOP_NOTES=str(tmp_path / "notes"))
        for name, value in project.environ.items():
            if name.startswith("SHOP_"):
                monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(ROOT)
        # Other tests of this process must not see these handlers.
        for name in ("_handlers", "_declared"):
            monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
        monkeypatch.setattr(registry, "modules", ())
        yield project
        for name in ("shop", "shop_jobs"):
            sys.modules.pop(name, None)


def test_jobs_run_in_an_application_context_of_their_own(shop, tmp_path):
    from shop import create_app, gopher

    app, client = create_app(), shop.client
    with shop.running(sys.executable, "-m", "flask", "--app", "shop:create_app", "gopher", "worker"):
        job = app.test_client().post("/greet/ann").json["job"]
        assert result_of(client.wait(job, 60)) == "Hello ann, not None"
        # The request knows the handlers, and what they take.
        with app.app_context(), pytest.raises(InvalidJob, match="/payload"):
            gopher.enqueue("greet", {"name": 3})
        assert error_of(client.wait(client.enqueue("greet", {"name": "nobody"}), 60))["type"] == "LookupError"
        assert result_of(client.wait(client.enqueue("agreet", {"name": "ben"}), 60)) == "Hello ben"
        [last] = result_of(client.wait(client.enqueue("greet_all", {"names": ["cid"]}), 60))
        assert result_of(client.wait(last, 60)) == "Hello cid, not None"
        wait_until(lambda: (tmp_path / "notes").read_text().count("\n") == 3)
    assert (tmp_path / "notes").read_text().splitlines() == ["ann NoneType", "nobody LookupError", "cid NoneType"]


def test_a_test_replaces_the_client_by_an_eager_one(shop):
    from gopher.testing import EagerClient
    from shop import create_app, gopher

    with create_app().app_context(), EagerClient() as eager, gopher.replaced_by(eager):
        assert result_of(eager.job(gopher.enqueue("greet", {"name": "ann"}))) == "Hello ann, not None"


def test_tasks_are_submitted_by_the_client_that_replaces_the_one_of_the_application_only_meanwhile(shop):
    from shop import create_app, gopher

    greet = task("greet.task")(lambda name: name)
    with create_app().app_context(), Client(shop.client.settings.redis_url, namespace="test-other") as other:
        for _ in range(2):
            # Also once the application's own client has submitted one.
            with gopher.replaced_by(other):
                assert other.cancel(greet.delay("ann").id) == "cancelled"
            assert shop.client.cancel(greet.delay("ann").id) == "cancelled"


def test_settings_of_a_project_count_before_those_of_the_environment_in_each_of_their_forms():
    given = {"GOPHER_REDIS_PASSWORD_FILE": "/1", "REDIS_PASSWORD_FILE": "/2", "GOPHER_REDIS_PASSWORD": "3"}
    assert environment({"REDIS_PASSWORD": "own"}, given) == {"REDIS_PASSWORD": "own"}
