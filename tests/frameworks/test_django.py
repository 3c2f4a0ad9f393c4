"""A Django project on real PostgreSQL, with Django 5.2 and the newest, and `manage.py gopher worker`."""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest
from packaging.requirements import Requirement

from gopher.client import Client
from tests.helpers import wait_until
from tests.worker.processes import result_of

from .conftest import Project, overlay

pytestmark = pytest.mark.deep

ROOT = Path(__file__).parent / "django_project"
VERSIONS = {"5.2": "Django>=5.2,<5.3", "newest": "Django>=6" if sys.version_info >= (3, 12) else "Django"}


@pytest.fixture(scope="module")
def project(request, postgres, redis_url, tmp_path_factory) -> Iterator[Project]:
    database = f"django-{uuid4().hex[:8]}"
    postgres.create(database)
    with Client(redis_url, namespace=f"test-{database}") as client:
        project = Project(
            ROOT,
            client,
            tmp_path_factory.mktemp("django"),
            paths(request.param),
            SHOP_DATABASE=database,
            SHOP_DATABASE_HOST=str(postgres.folder),
        )
        project.run("manage.py", "migrate", "-v", "0")
        yield project


def paths(name: str) -> tuple[Path, ...]:
    """Return where Django is, if not in this environment."""
    wanted = Requirement(VERSIONS[name])
    here = name != "newest" and version("django") in wanted.specifier
    return () if here else (overlay(f"django-{name}", VERSIONS[name]),)


def working(project: Project, **environ: str):
    return project.running(sys.executable, "manage.py", "gopher", "worker", **environ)


@pytest.mark.parametrize("project", VERSIONS, indirect=True)
def test_jobs_survive_a_restart_of_the_database_under_load(project, postgres):
    client = project.client
    with working(project) as worker:
        # The app has queried the database before the fork; no child shares that connection.
        seen = [
            result_of(client.wait(job, 60))
            for job in client.enqueue_many([{"type": "shop.backend", "payload": {}}] * 30)
        ]
        wait_until(lambda: len(client.workers()[0].children) == 3)
        assert len({process for process, _ in seen}) == len({backend for _, backend in seen})
        before = result_of(client.wait(client.enqueue("shop.acount", {}), 60))

        jobs = client.enqueue_many([{"type": "shop.count", "payload": {"seconds": 0.2}}] * 40)
        wait_until(lambda: client.stats().queues["default"].totals["completed"] > 35)
        postgres.restart()
        outcomes = project.outcomes(jobs)
        assert [status for status, _ in outcomes] == ["completed"] * 40

        # A restart between two jobs fails neither: connections are checked before each, those of coroutines too.
        postgres.restart()
        jobs = client.enqueue_many([{"type": name, "payload": {}} for name in ("shop.count", "shop.acount")] * 20)
        assert project.outcomes(jobs) == [("completed", 1)] * 40
        assert result_of(client.job(jobs[-1]))["pid"] in worker.children()
        assert before["pid"] in worker.children(), "the thread of asgiref has cost the child"


@pytest.mark.parametrize("project", ["5.2"], indirect=True)
def test_jobs_are_enqueued_on_commit_and_the_admin_links_to_the_dashboard(project):
    with working(project):
        assert project.answer("on_commit.py") == {
            "stored before the commit": False,
            "stored after it": True,
            "customer": "ann",
            "stored after a rollback": False,
            "mistake": "/payload/*",
            "orders of the mistake": 0,
            "delayed before the commit": [],
            "delayed": [["ann", 3]],
            "eager": "completed",
        }
    assert project.answer("admin_link.py") == [
        [True, 302, "https://jobs.shop.example/dashboard"],
        [False, 403, None],
    ]


@pytest.mark.parametrize("project", ["5.2"], indirect=True)
def test_settings_are_checked_and_gopherctl_runs_with_them(project):
    wrong = project.run("manage.py", "check", fails=True, SHOP_WRONG="WORKER_CONCURENCY")
    assert "gopher.E001" in wrong
    assert "did you mean 'WORKER_CONCURRENCY'?" in wrong
    # Settings of the project win over the environment, also over a prefixed variable.
    elsewhere = {"REDIS_URL": "redis://127.0.0.1:1", "GOPHER_REDIS_URL": "redis://127.0.0.1:1"}
    job = project.run("manage.py", "gopher", "submit", "-t", "shop.count", "-p", "{}", **elsewhere).split()[-1]
    assert project.client.job(job).status == "pending"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Django 6 needs Python 3.12")
@pytest.mark.parametrize("project", ["newest"], indirect=True)
def test_the_backend_runs_the_tasks_of_django(project):
    with working(project, WORKER_QUEUES="default,mail"):
        assert project.answer("use_tasks.py") == {
            "greet": ["Hello Ann?", 1, ["Ann"], {"punctuation": "?"}, [], "shop.tasks.greet"],
            "times": True,
            "same task": True,
            "agreet": [["Ben"], "mail", "high"],
            "again": [2],
            "dead": ["FAILED", 2, True],
            "receipt": [2],
            "later": [True, "scheduled"],
            "wrong queue": "InvalidTask",
            "wrong json": "TypeError",
            "missing": True,
        }
