"""The process that tells middleware of what no child could: it never holds the worker up."""

import os
import time

import pytest
from gopher.worker import events
from gopher.worker.events import Events
from gopher.worker.messages import Failed
from gopher.worker.queue_side.decisions import on_crash, on_failure
from gopher.worker.running import Running

from gopher import middleware
from gopher.hooks import registered
from gopher.queue.replies import FetchedJob
from tests.helpers import wait_until


@pytest.fixture(autouse=True)
def _no_middleware():
    yield
    registered.clear()


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes"

    class Notes(middleware.Middleware):
        def on_failure(self, job, outcome):
            if job.type == "hangs":
                time.sleep(600)
            if job.type == "exits":
                os._exit(3)
            with path.open("a") as file:
                file.write(f"{job.type} {outcome.kind} ")

        def on_dead(self, job, outcome):
            with path.open("a") as file:
                file.write(f"{job.type} dead ")

    middleware.add(Notes())
    return lambda: path.read_text().split() if path.exists() else []


def running(job_type):
    job = FetchedJob(
        id="0198c5a5-0000-7000-8000-000000000000", type=job_type, priority="normal", envelope=b"{}", token="w.1"
    )
    return Running(job, "default", None, 0, 1.0, "w")


def crash(job_type, most=5):
    given = running(job_type)
    return given, on_crash(given.job, "SIGSEGV", "", most)


def all_told(told):
    told.maintain(time.monotonic())
    if told._pid and events._has_ended(told._pid):
        told.reaped(told._pid)
    return not told._pid and not told._waiting


def test_what_comes_together_is_told_by_one_process_in_order(notes):
    told = Events(list)
    for job_type in ("a", "b", "c"):
        told.tell(*crash(job_type, most=1))
    told.stop()
    assert notes() == [word for each in "abc" for word in (each, "crashed", each, "dead")]


def test_a_hook_that_hangs_is_killed_and_the_others_are_told(notes, monkeypatch):
    monkeypatch.setattr(events, "PATIENCE", 3.0)
    told = Events(list)
    for job_type in ("a", "hangs", "exits", "b"):
        began = time.monotonic()
        told.tell(*crash(job_type))
        told.maintain(time.monotonic())
        # Nothing of it is waited for.
        assert time.monotonic() - began < 5
    wait_until(lambda: all_told(told), 60)
    assert notes() == ["a", "crashed", "b", "crashed"]


def test_what_a_child_has_told_is_not_told_again(notes):
    told = Events(list)
    given = running("a")
    failed = Failed(1, 0.1, "error", "ValueError", "x", "", None)
    told.tell(given, on_failure(given.job, failed, None, max_retries=0, timeout=1), 2)
    told.tell(given, on_failure(given.job, failed, None, max_retries=5, timeout=1), 1)
    # The child did not know that it was the last one.
    told.tell(given, on_failure(given.job, failed, None, max_retries=0, timeout=1), 1)
    told.stop()
    assert notes() == ["a", "dead"]


def test_the_number_of_waiting_events_is_bounded(notes, monkeypatch):
    monkeypatch.setattr(events, "KEPT", 3)
    told = Events(list)
    for _ in range(10):
        told.tell(*crash("a"))
    assert len(told._waiting) == 3
    told.stop()
    assert notes() == ["a", "crashed"] * 3
