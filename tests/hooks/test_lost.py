"""Middleware is told of attempts that no child can tell of: those of a lost lease, and refused outcomes."""

import os
import signal

import pytest
from gopher.worker.events import Events

from gopher import middleware
from gopher.hooks import registered
from tests.helpers import wait_until
from tests.worker.test_delivery import bench, client, proxy, refuse_one_of

__all__ = ["bench", "client", "proxy"]


def test_an_attempt_whose_lease_is_lost_is_told_as_lost_once_and_not_as_dead(client, start_worker, tmp_path):
    notes = tmp_path / "notes"
    worker = start_worker(
        client,
        GOPHER_HANDLERS="tests.hooks.noted_handlers",
        NOTES=str(notes),
        WORKER_CONCURRENCY="1",
        WORKER_LEASE="1s",
        WORKER_POLL_INTERVAL="200ms",
    )
    job_id = client.enqueue("sleeps", {}, timeout="60s", max_retries=0)
    wait_until(lambda: notes.exists() and "inner before sleeps 1" in notes.read_text())
    frozen = [worker.pid, *worker.children()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    queue = client.server.queue("default")
    wait_until(lambda: client.server.run(queue.rescue(None, 0.0)).returned, 15, "its job to be given back")
    client.cancel(job_id)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "outer on_failure" in notes.read_text(), 15, "middleware to be told")
    assert worker.stop() == 0
    assert notes.read_text().splitlines() == [
        "outer before sleeps 1",
        "inner before sleeps 1",
        "inner on_failure sleeps 1 lost Lost beside",
        "outer on_failure sleeps 1 lost Lost beside",
    ]
    assert client.job(job_id).status == "cancelled"


@pytest.fixture
def heard(tmp_path):
    """Middleware that tells of failures, which another process than the test's calls."""
    path = tmp_path / "heard"

    class Notes(middleware.Middleware):
        def note(self, *words):
            with path.open("a") as file:
                file.write(" ".join([*words, str(os.getpid() != test)]) + "\n")

        def on_failure(self, job, outcome):
            self.note("failure", job.id, outcome.kind, outcome.error_type, outcome.message.split(": ")[0])

        def on_dead(self, job, outcome):
            self.note("dead", job.id)

    test = os.getpid()
    middleware.add(Notes())
    yield lambda: path.read_text().splitlines() if path.exists() else []
    registered.clear()


def test_a_result_that_the_server_refuses_permanently_is_told_as_dead_and_no_other(bench, heard):
    jobs, events = bench.jobs(5), Events(list)
    bench.delivery._patience = 0.2
    bench.settler.refused = events.tell
    refuse_one_of(bench, jobs)
    bench.go_on(lambda: not bench.settler.waiting)
    events.stop()
    refused = jobs[1].job.id
    assert heard() == [
        f"failure {refused} failed OutcomeRefused it ran, but its outcome could not be stored True",
        f"dead {refused} True",
    ]
    assert bench.states(jobs).count("completed") == 4


def test_a_result_that_is_refused_for_a_while_is_told_to_no_one(bench, heard):
    jobs, events = bench.jobs(3), Events(list)
    bench.settler.refused = events.tell
    refuse_one_of(bench, jobs)
    bench.go_on(lambda: len(bench.settler.held()) == 1)
    bench.proxy.mode("pass")
    bench.go_on(lambda: not bench.settler.waiting)
    events.stop()
    assert heard() == []
