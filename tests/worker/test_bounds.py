"""What a job changes in its child is put back, and what it may take has a limit."""

import os
import re
import resource
import shutil
import subprocess
import sys

import pytest

from tests.worker.processes import QUICK, ROOT, error_of, result_of, where


def test_a_job_finds_nothing_that_the_one_before_it_has_changed(client, start_worker):
    start_worker(WORKER_CONCURRENCY="1")
    found = []
    for change in (False, True, False):
        view = client.wait(client.enqueue("surroundings", {"change": change}), 20)
        assert view.status == "completed", error_of(view)
        found.append(result_of(view))
    # The same child, or this proves nothing.
    assert found[0] == found[1] == found[2]
    assert found[0]["marker"] is None
    assert found[0]["path"]


def test_only_signal_handlers_that_were_changed_are_put_back():
    """One that is registered past Python's own list, as faulthandler does, would be lost."""
    script = """
import faulthandler, os, signal
from gopher.worker.children.child_signals import ChildSignals
faulthandler.register(signal.SIGALRM)
signals = ChildSignals(print)
before = signal.signal(signal.SIGHUP, print)
signals.restore()
assert signal.getsignal(signal.SIGHUP) is before
os.kill(os.getpid(), signal.SIGALRM)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert "most recent call first" in told.stderr


def test_the_job_after_one_that_changed_signals_can_be_interrupted(client, start_worker, tmp_path):
    start_worker(WORKER_CONCURRENCY="1")
    client.enqueue("surroundings", {"change": True})
    mark = tmp_path / "mark"
    client.wait(client.enqueue("patient", {"mark": str(mark)}, timeout="1s", max_retries=0), 20)
    assert mark.read_text() == "SoftTimeout cancelled=False"


def test_a_worker_continues_when_its_folder_is_deleted(client, start_worker, tmp_path):
    """As deploys do with the folders of old releases."""
    worker = start_worker(WORKER_CONCURRENCY="1", WORKER_MAX_JOBS_PER_CHILD="3")
    shutil.rmtree(tmp_path)
    ids = client.enqueue_many({"type": "pid", "payload": {}} for _ in range(9))
    views = [client.wait(job_id, 20) for job_id in ids]
    assert {(view.status, view.attempts) for view in views} == {("completed", 1)}
    assert len({result_of(view) for view in views}) >= 3
    assert worker.running


def test_a_job_that_takes_too_much_memory_fails_with_a_word_about_it(client, start_worker):
    worker = start_worker(WORKER_CONCURRENCY="1", WORKER_MAX_ADDRESS_SPACE_PER_CHILD="1GiB")
    children = worker.children()
    assert result_of(client.wait(client.enqueue("swell", {"megabytes": 50}), 20)) == 50_000_000
    view = client.wait(client.enqueue("swell", {"megabytes": 2000}, max_retries=0), 20)
    error = error_of(view)
    assert (view.status, error["type"]) == ("failed", "MemoryError")
    assert error["message"] == "out of memory (limit 1024 MiB)"
    assert worker.children() == children


def test_a_job_whose_child_has_too_much_memory_resident_is_killed_with_the_figure(client, start_worker):
    worker = start_worker(WORKER_CONCURRENCY="1", WORKER_MAX_MEMORY_PER_CHILD="200MiB", WORKER_MAX_CRASHES="1")
    children = worker.children()
    assert client.wait(client.enqueue("hoard", {"megabytes": 50, "seconds": 1}), 20).status == "completed"
    assert worker.children() == children
    view = client.wait(client.enqueue("hoard", {"megabytes": 400, "seconds": 60}), 30)
    error = error_of(view)
    assert (view.status, error["type"]) == ("failed", "ChildCrashed")
    used = int(re.search(r"used ([\d,]+) MiB of memory \(see WORKER_MAX_MEMORY_PER_CHILD\)", error["message"])[1])
    assert 200 <= used < 600
    assert client.wait(client.enqueue("hoard", {"megabytes": 50, "seconds": 0}), 20).status == "completed"


def test_refuses_to_start_with_too_few_open_files(client, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    told = subprocess.run(
        [sys.executable, "-m", "gopher.worker"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **where(client), **QUICK, "WORKER_CONCURRENCY": "20"},
        cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert told.returncode == 1
    assert "open files, the limit is 64" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_refuses_a_server_that_would_drop_jobs_when_it_is_full(own_server, own_client, tmp_path, policy):
    own_client.server.client.config_set("maxmemory-policy", policy)
    told = subprocess.run(
        [sys.executable, "-m", "gopher.worker"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **where(own_client), **QUICK},
        cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert told.returncode != 0
    assert "noeviction" in told.stderr
    assert "Traceback" not in told.stderr
