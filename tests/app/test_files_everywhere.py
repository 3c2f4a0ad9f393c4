"""Files with two APIs and two workers, which share nothing but the server and the store; and many uploads at once."""

import io
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import httpx
import psutil
import pytest
from PIL import Image

from gopher.client import Client
from tests.app.conftest import running_api
from tests.app.hostile import memory
from tests.helpers import wait_until
from tests.s3 import S3Server
from tests.worker.processes import Worker

pytestmark = pytest.mark.deep
_log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("weed"))
    yield server
    server.stop()


@pytest.fixture(params=["file", "redis", "s3"])
def variables(request, tmp_path):
    """The store of each process: a folder that all share, or no disk at all."""
    stores = {
        "file": lambda: {"GOPHER_STORE": "file:", "GOPHER_FILES": str(tmp_path / "shared")},
        "redis": lambda: {"GOPHER_STORE": "redis:", "GOPHER_STORE_MAX": "1GiB"},
        "s3": lambda: request.getfixturevalue("s3").environ(),
    }
    return {**stores[request.param](), "GOPHER_NAMESPACE": f"everywhere-{uuid4().hex[:8]}"}


def picture() -> bytes:
    written = io.BytesIO()
    Image.effect_noise((1600, 1200), 60).save(written, "JPEG", quality=95)
    return written.getvalue()


def test_what_any_process_takes_every_process_has(variables, tmp_path, redis_url, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    content = picture()
    with ExitStack() as stack:
        client = stack.enter_context(Client(redis_url))
        for number in range(2):
            folder = tmp_path / f"worker-{number}"
            folder.mkdir()
            own = {"WORKER_CONCURRENCY": "1", "GOPHER_HANDLERS": "gopher.handlers", "GOPHER_FILES": str(folder / "own")}
            worker = Worker(client, folder, **{**own, **variables})
            stack.callback(worker.destroy)
        apis = []
        for number in range(2):
            folder = tmp_path / f"api-{number}"
            folder.mkdir()
            own = {"GOPHER_FILES": str(folder / "own"), "WEB_CONCURRENCY": "1", "TMPDIR": str(folder)}
            apis.append(stack.enter_context(running_api(folder, redis_url, **{**own, **variables})))
        first, second = apis
        upload = first.post("/api/v1/files?name=photo.jpg", content=content).json()
        job = {
            "type": "image_resize",
            "payload": {"file": "photo", "width": 200},
            "files": {"photo": upload["file_id"]},
        }
        answers = []

        def both_have_worked() -> bool:
            made = second.post("/api/v1/jobs?wait=25", json=job).json()
            answers.append(client.wait(made["job_id"], 60))
            assert answers[-1].status == "completed"
            return len(answers) >= 6 and len({answer.worker for answer in answers}) == 2

        wait_until(both_have_worked, 120)
        downloads = set()
        for answer in answers:
            for api in apis:
                (file,) = api.get(f"/api/v1/jobs/{answer.job_id}/files").json()["files"]
                for redirect in ("true", "false"):
                    place = f"{api.base_url}{file['url']}?redirect={redirect}"
                    got = httpx.get(place, follow_redirects=True, timeout=60)
                    assert (got.status_code, got.headers["Content-Type"]) == (200, "image/jpeg"), got.text
                    downloads.add(got.content)
        (thumbnail,) = downloads
        assert Image.open(io.BytesIO(thumbnail)).size == (200, 150)


def test_many_uploads_at_once_take_little_memory(variables, tmp_path, redis_url, monkeypatch):
    size, count, at_once = 10_000_000, 100, 20
    if not variables["GOPHER_STORE"].startswith("file:"):
        # They are in the memory of the server, or have to fit into the small volumes of the bucket.
        count = 40
    content = os.urandom(size)
    with running_api(tmp_path, redis_url, WEB_CONCURRENCY="2", TMPDIR=str(tmp_path), **variables) as api:
        assert api.post("/api/v1/files", content=content[:100]).status_code == 201
        before, most, is_over = memory(api), [0], threading.Event()

        def watch():
            while not is_over.is_set():
                most[0] = max(most[0], memory(api))
                time.sleep(0.02)

        def upload(_) -> httpx.Response:
            # Whoever is told that the server, or the store, does not answer, for want of a processor, tries again.
            for _ in range(5):
                answer = httpx.post(f"{api.base_url}/api/v1/files", content=content, timeout=300)
                if answer.status_code != 503:
                    break
            return answer

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            with ThreadPoolExecutor(at_once) as pool:
                refused = [answer.text for answer in pool.map(upload, range(count)) if answer.status_code != 201]
        finally:
            is_over.set()
            watching.join()
        _log.info("%d uploads of 10 MB took %.1f MiB more memory", count, (most[0] - before) / 2**20)
        assert not refused
        assert most[0] - before < 60 * 2**20
        assert psutil.Process(api.process.pid).is_running()
