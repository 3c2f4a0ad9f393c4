"""Handlers that are `async def` run, are interrupted as coroutines are, and leave nothing of their event loop."""

import shutil
import tempfile
from pathlib import Path

import pytest

from gopher.client import Client
from tests.helpers import wait_until, wait_until_started
from tests.worker.processes import Worker, error_of, result_of


@pytest.fixture(scope="module")
def worker(redis_url):
    """One worker of one child for the whole module."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-worker-"))
    with Client(redis_url, namespace=f"test-{folder.name}") as client:
        worker = Worker(client, folder, GOPHER_HANDLERS="tests.worker.coroutine_handlers", WORKER_CONCURRENCY="1")
        try:
            yield worker
        finally:
            worker.destroy()
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def client(worker):
    return worker.client


@pytest.fixture
def run(client, worker):
    def run(job_type, payload=None, **options):
        return client.wait(client.enqueue(job_type, payload or {}, **{"max_retries": 0, **options}), 30)

    return run


def test_a_coroutine_returns_the_jobs_result(client, run):
    view = run("adds", {"numbers": [1, 2, 3]})
    assert (view.status, result_of(view)) == ("completed", 6)
    assert [line.line for line in client.logs(view.job_id)] == ["adding"]
    assert result_of(run("wrapped")) == "ran"
    assert result_of(run("shop")) == "sold"


@pytest.mark.parametrize("job_type", ["waits", "gathers"])
def test_a_soft_timeout_ends_what_is_awaited_at_once(run, worker, job_type):
    view = run(job_type, timeout="200ms")
    assert (view.status, error_of(view)["type"]) == ("failed", "Timeout")
    # Not by the kill: it has reacted.
    assert error_of(view)["message"] == "ran longer than its timeout of 200ms"
    assert "coroutine_handlers.py" in error_of(view)["traceback"]


def test_a_cancel_ends_what_is_awaited_at_once(client, run, worker):
    children = worker.children()
    job_id = client.enqueue("waits", {})
    wait_until_started(job_id)
    client.cancel(job_id)
    view = client.wait(job_id, 30)
    assert view.status == "cancelled"
    assert [line.line for line in client.logs(job_id)] == ["ended by True"]
    assert worker.children() == children


def test_a_coroutine_that_takes_its_cancellation_for_a_sign_to_end_may_return_a_result(run):
    assert result_of(run("tidies", timeout="200ms")) == "tidied"


@pytest.mark.parametrize("job_type", ["computes", "stubborn", "blocks_a_thread"])
def test_one_that_does_not_end_is_killed(run, worker, job_type):
    view = run(job_type, timeout="200ms")
    assert "did not react to the exception for 1.5s, and was killed" in error_of(view)["message"]
    assert result_of(run("shop")) == "sold"


@pytest.mark.parametrize(
    ("kinds", "status", "error", "message"),
    [
        (["discard"], "failed", "Discard", "no"),
        (["discard", "discard"], "failed", "Discard", "no (and 1 more of the kind)"),
        (["value"], "failed", "ValueError", "bad"),
        (["retry"], "retrying", "Retry", "busy"),
        (["value", "retry"], "retrying", "ExceptionGroup", "unhandled errors in a TaskGroup (2 sub-exceptions)"),
    ],
)
def test_exceptions_of_a_group_whose_members_agree_count_as_what_they_are(client, run, kinds, status, error, message):
    job_id = client.enqueue("fails", {"kinds": kinds}, max_retries=0 if status == "failed" else 5)
    wait_until(lambda: client.job(job_id).status == status)
    view = client.job(job_id)
    assert (error_of(view)["type"], error_of(view)["message"]) == (error, message)
    assert error_of(view)["permanent"] == ("discard" in kinds)


def test_a_coroutine_that_cancels_itself_has_failed(run):
    view = run("cancels_itself")
    assert (view.status, error_of(view)["type"]) == ("failed", "CancelledError")


def test_a_copy_of_a_loop_ends_and_leaves_the_other_alone(run, worker):
    (child,) = worker.children()
    for _ in range(3):
        assert result_of(run("forks")) == child
    assert worker.session() == [worker.pid, child]


def test_nothing_of_a_loop_reaches_the_next_job(client, run, worker):
    children = worker.children()
    view = run("leaves")
    assert [result_of(view)] == children
    time_out = run("gathers", timeout="300ms")
    assert client.logs(time_out.job_id) == []
    assert worker.children() == children
    assert "replaced" not in worker.log
