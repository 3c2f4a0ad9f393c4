"""`make demo`, as it is run: everything real, and every job checked by the demo itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gopher.cli.demo_jobs import DELAY, DemoJob, Place, Wrong, all_jobs
from PIL import Image


def run_demo(folder: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "gopher.cli.demo"],
        env={**os.environ, **more},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_every_job_ends_as_it_should(tmp_path: Path) -> None:
    # What is set around it does not matter: it has a world of its own.
    done = run_demo(tmp_path, REDIS_URL="redis://127.0.0.1:1", GOPHER_NAMESPACE="elsewhere", PORT="1")
    assert done.returncode == 0, done.stdout + done.stderr
    for job in all_jobs():
        assert re.search(rf"^{re.escape(job.title)} +{job.body['type']} +completed +{job.attempts} ", done.stdout, re.M)
    assert f"All {len(all_jobs())} jobs ended as expected" in done.stdout
    assert sorted(_size(path) for path in (tmp_path / "demo-pictures").iterdir()) == [
        (128, 128),
        (256, 300),
        (384, 450),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["demo-pictures"]


def test_a_demo_that_can_not_run_reports_why(tmp_path: Path) -> None:
    done = run_demo(tmp_path, GOPHER_REDIS_SERVER="/no/such/server")
    assert done.returncode == 1
    assert "GOPHER_REDIS_SERVER" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_result_is_not_let_pass(tmp_path: Path) -> None:
    place = Place(files=tmp_path, mails=tmp_path, pictures=tmp_path)
    Image.new("RGB", (10, 10)).save(tmp_path / "wrong.jpg")
    result = {"path": str(tmp_path / "wrong.jpg"), "bytes": 1, "message_id": "<nobody>", "result": "7", "calls": 1}
    job = {"result": result, "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z", "history": []}
    for each in all_jobs():
        with pytest.raises((Wrong, OSError, LookupError, ValueError)):
            each.check(job, place)


def test_a_delayed_job_that_starts_at_once_is_wrong(tmp_path: Path) -> None:
    delayed = _of_delay()
    job = {"result": {"result": True}, "created_at": "2026-01-01T00:00:00.000Z"}
    place = Place(files=tmp_path, mails=tmp_path, pictures=tmp_path)
    assert "started 3.1" in delayed.check({**job, "started_at": f"2026-01-01T00:00:0{DELAY}.100Z"}, place)
    with pytest.raises(Wrong, match="instead of 3 s"):
        delayed.check({**job, "started_at": "2026-01-01T00:00:00.100Z"}, place)


def _of_delay() -> DemoJob:
    return next(job for job in all_jobs() if "delay" in job.body)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size
