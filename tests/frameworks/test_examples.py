"""The samples in examples/, each started by honcho in a copy of its folder."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from gopher.client import Client
from tests.handlers.conftest import mailbox
from tests.helpers import free_port, wait_until
from tests.worker.processes import ROOT

from .conftest import Project

__all__ = ["mailbox"]

pytestmark = pytest.mark.deep

EXAMPLES = ROOT / "examples"


class Sample(Project):
    """A sample, with the address of its web process once that runs."""

    browser: httpx.Client

    @contextmanager
    def started(self) -> Iterator[httpx.Client]:
        """Run its Procfile; yield a client of its web process."""
        port = free_port()
        # A Procfile's first process gets the port that honcho is told. gunicorn would listen there on all addresses.
        here = {"PORT": str(port), "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port} --no-control-socket"}
        honcho = self.running(sys.executable, "-m", "honcho", "start", "--no-colour", ends=143, **here)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as self.browser, honcho as process:
            wait_until(lambda: self._answers(process), 120, "the web process to answer")
            yield self.browser

    def _answers(self, honcho) -> bool:
        assert honcho.running, honcho.log
        try:
            self.browser.get("/")
        except httpx.TransportError:
            return False
        return True

    def ended(self, address: str, waiting=("pending", "scheduled", "processing", "retrying")) -> dict:
        """Wait until a job has ended, as the sample tells of it; return what it tells."""

        def look() -> dict | None:
            answer = self.browser.get(address)
            said = answer.raise_for_status().json()
            return None if said.get("state", said.get("status")) in waiting else said

        return wait_until(look, 120, f"{address} to end")


@pytest.fixture
def sample(redis_url, tmp_path):
    """Return a function that copies a sample; it runs until the test ends."""
    namespace = f"test-{uuid4().hex[:12]}"

    def copy(name: str, **environ: str) -> Sample:
        folder = Path(shutil.copytree(EXAMPLES / name, tmp_path / name))
        own = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "REDIS_URL": redis_url,
            "GOPHER_NAMESPACE": namespace,
            "GOPHER_FILES": str(tmp_path / "files"),
            "WORKER_CONCURRENCY": "1",
        }
        return Sample(folder, client, tmp_path, **own, **environ)

    with Client(redis_url, namespace=namespace) as client:
        yield copy


def test_a_progress_bar_with_flask(sample):
    with sample("flask-progress", SECONDS_PER_STEP="0.15").started() as browser:
        seen = set()

        def ended() -> bool:
            said = browser.get(address).json()
            if said["progress"]:
                seen.add(said["progress"]["fraction"])
            return said["state"] == "completed"

        # Of a task that has ended before we look again nothing is seen.
        for _ in range(5):
            seen.clear()
            address = browser.post("/tasks?steps=20").json()["status"]
            wait_until(ended, 120)
            assert browser.get(address).json()["result"] == {"steps": 20}
            if len(seen) > 3:
                break
        assert len(seen) > 3
        assert browser.get("/tasks/0198c5a5-0000-7000-8000-000000000000").status_code == 404


def test_an_export_with_flask_and_postgresql(sample, postgres, mailbox):
    url = postgres.create(f"blog-{uuid4().hex[:8]}").replace("postgresql:", "postgresql+psycopg:")
    blog = sample("flask-export", DATABASE_URL=url)
    blog.run("-m", "flask", "--app", "blog", "create-tables")
    with blog.started() as browser:
        for body in ("first", "second"):
            assert browser.post("/users/ann/posts", content=body).status_code == 201
        asked = browser.post("/users/ann/exports").json()
        said = blog.ended(asked["status"])
        assert (said["state"], said["result"]["posts"]) == ("completed", 2)
        stored = browser.get(f"{asked['status']}/posts.json").json()
        assert [post["body"] for post in stored["posts"]] == ["first", "second"]
        wait_until(lambda: mailbox.messages, 60, "the mail")
        assert mailbox.messages[0][1] == ["ann@example.com"]


def test_a_shop_with_django_and_postgresql(sample, postgres):
    database = f"shop-{uuid4().hex[:8]}"
    postgres.create(database)
    place = {"DATABASE_NAME": database, "DATABASE_HOST": str(postgres.folder), "DATABASE_USER": "postgres"}
    # It has a scheduler, which takes jobs from a worker that gets no processor for longer than its lease.
    shop = sample("django-shop", **place, WORKER_LEASE="60s")
    # Its own tests, then the shop.
    shop.run("manage.py", "test")
    shop.run("manage.py", "migrate", "-v", "0")
    with shop.started() as browser:
        order = {"customer": "ann@example.com", "cents": 990}
        placed = {card: browser.post("/orders", data={**order, "card": card}).json() for card in CARDS}
        assert browser.post("/orders", data={**order, "card": "good", "cents": 9_000_000}).status_code == 422
        ended = {card: shop.ended(f"/orders/{placed[card]['id']}", ("placed",))["state"] for card in CARDS}
        assert ended == {"good": "paid", "unlucky": "paid", "stolen": "refused"}
        views = {card: shop.client.wait(placed[card]["job"], 60) for card in CARDS}
        assert {card: (view.status, view.attempts) for card, view in views.items()} == {
            "good": ("completed", 1),
            "unlucky": ("completed", 3),
            "stolen": ("failed", 1),
        }
        address = f"/orders/{placed['unlucky']['id']}"
        wait_until(lambda: browser.get(address).json()["receipts"] == 1, 60, "the receipt")


CARDS = ("good", "unlucky", "stolen")


def test_a_service_with_fastapi(sample):
    service = sample("fastapi-service", GOPHER_HANDLERS="jobs")
    with service.started() as browser:
        report = browser.post("/reports", json={"region": "north", "years": [2024, 2025]}).json()
        said = service.ended(f"/reports/{report['id']}")
        assert said["result"]["years"] == [2024, 2025]
        assert said["result"]["region"] == "north"
        assert browser.post("/reports", json={"region": "n", "years": [1]}).status_code == 422
        assert browser.get("/reports/0198c5a5-0000-7000-8000-000000000000").status_code == 404
