"""A worker that has 512 MB: a small dyno, or container."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image

from gopher.client import Client
from gopher.config.settings import Settings
from tests.helpers import wait_until
from tests.worker.processes import Process

pytestmark = pytest.mark.deep
MEMORY = 512 * 2**20


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group for processes that together have so much memory."""
    made = Path("/sys/fs/cgroup/memory") / f"gopher-{uuid4().hex[:6]}"
    try:
        made.mkdir()
        (made / "memory.limit_in_bytes").write_text(str(MEMORY))
    except OSError:
        pytest.skip("needs control groups (version 1) and the right to make them")
    yield made
    wait_until(lambda: not (made / "cgroup.procs").read_text(), 60, "its processes to end")
    made.rmdir()


def photograph() -> bytes:
    """Return a JPEG of 12 million pixels that is as hard to encode as one of a telephone."""
    written = io.BytesIO()
    grain = Image.effect_noise((1008, 756), 60).resize((4032, 3024))
    Image.merge("RGB", (grain, grain.transpose(Image.Transpose.FLIP_TOP_BOTTOM), grain)).save(written, "JPEG")
    return written.getvalue()


def test_twenty_photographs_at_once_fit_into_a_small_machine(group, tmp_path, redis_url, namespace):
    environ = {
        "REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "GOPHER_FILES": str(tmp_path / "files"),
        "TMPDIR": str(tmp_path), "GOPHER_HANDLERS": "gopher.handlers", "WORKER_CONCURRENCY": "auto",
    }  # fmt: skip
    enter = ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    worker = Process("worker", environ, tmp_path, enter)
    try:
        with Client(settings=Settings.from_env({**os.environ, **environ})) as client:
            files = {"file": client.files.upload(photograph(), name="photo.jpg")}
            sizes = [{"width": 1200}, {"width": 4000}]
            ids = [
                client.enqueue("image_resize", {"file": "file", **sizes[at % 2]}, files=files, timeout="5m")
                for at in range(20)
            ]
            views = [client.wait(job_id, 300) for job_id in ids]
        assert [(view.status, view.attempts) for view in views] == [("completed", 1)] * 20
        assert "oom_kill 0" in (group / "memory.oom_control").read_text()
        assert int((group / "memory.max_usage_in_bytes").read_text()) < MEMORY
    finally:
        worker.destroy()
