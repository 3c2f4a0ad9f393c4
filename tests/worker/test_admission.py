"""Admission by memory: jobs start if what their types need fits beside what runs."""

import math
import re

import pytest

from gopher.base.latencies import file_class
from gopher.base.times import from_rfc3339
from tests.helpers import wait_until, wait_until_started
from tests.worker.processes import error_of

MIB = 2**20
HANDLERS = "tests.worker.hungry_handlers"


def learn(client, job_type, megabytes, files=0):
    """Have the server know what jobs of a type have needed."""
    keys = client.server.keys.for_queue("default")
    bucket = math.ceil(math.log2(megabytes) * 4)
    name = f"memory/{file_class(files)}" if files else "memory"
    client.server.client.hset(keys.latencies(job_type), mapping={"run:12": 50, f"{name}:{bucket}": 50})


@pytest.fixture
def start_admitting(client, start_worker):
    def start(megabytes, **environ):
        worker = start_worker(
            **{"GOPHER_HANDLERS": HANDLERS, "WORKER_CONCURRENCY": "3", "WORKER_MEMORY": f"{megabytes}MiB"} | environ
        )
        # Until then the memory of children counts for nothing.
        wait_until(lambda: [view for view in client.workers() if len(view.children) == 3 and view.admission])
        return worker

    return start


def held(client, job_id):
    """Return whether a worker says that it holds a job."""
    return any(job_id in view.admission.held for view in client.workers())


def fill(client, megabytes, until):
    return client.enqueue("fill", {"megabytes": megabytes, "until": str(until)}, max_retries=0)


def test_a_job_that_does_not_fit_waits_while_others_pass_it_by(client, start_admitting, tmp_path):
    learn(client, "fill", 250)
    start_admitting(400)
    first = fill(client, 60, tmp_path / "first")
    wait_until_started(first)
    second = fill(client, 60, tmp_path / "second")
    wait_until(lambda: held(client, second))
    assert client.wait(client.enqueue("small", {}), 20).status == "completed"
    reason = wait_until(lambda: next((each for each in client.why(second) if each.code == "memory"), None))
    needed, free = map(int, re.fullmatch(r"needs (\d+) MiB, (\d+) MiB free on each worker", reason.message).groups())
    assert 0 <= free < needed < 256
    view = client.job(second)
    assert round(view.memory_wait.needs / MIB) == needed
    assert view.memory_wait.until is None
    (tmp_path / "first").touch()
    wait_until_started(second)
    (tmp_path / "second").touch()
    assert client.wait(first, 20).history[0].peak_memory > 60 * MIB
    ended = client.wait(second, 20)
    assert (ended.status, ended.attempts) == ("completed", 1)
    assert ended.memory_wait.since < ended.memory_wait.until
    # By the worker's clock, rounded, and then by the server's.
    assert from_rfc3339(ended.memory_wait.until) <= from_rfc3339(ended.started_at) + 1


def test_held_jobs_are_requeued_when_the_worker_stops_and_cancelled_when_that_is_asked(
    client, start_admitting, tmp_path
):
    learn(client, "fill", 250)
    worker = start_admitting(400)
    first = fill(client, 60, tmp_path / "first")
    wait_until_started(first)
    second, third = fill(client, 60, tmp_path / "first"), fill(client, 60, tmp_path / "first")
    wait_until(lambda: held(client, second) and held(client, third))
    client.cancel(second)
    assert client.wait(second, 20).status == "cancelled"
    (tmp_path / "first").touch()
    worker.stop()
    # It may have started when the first one ended.
    assert client.job(third).status in ("pending", "completed")
    assert client.job(third).attempts <= 1


def test_a_job_that_exceeds_the_memory_runs_once_more_alone_and_dies_with_its_figure(
    client, start_admitting, start_scheduler
):
    start_scheduler()
    start_admitting(300, WORKER_MAX_CRASHES="5")
    job_id = client.enqueue("grow", {"megabytes": 1500})
    view = client.wait(job_id, 60)
    error = error_of(view)
    assert (view.status, view.attempts, error["type"]) == ("failed", 2, "OutOfMemory")
    how = r"it was killed for lack of memory again, with no job beside it: used (\d+) MiB of memory"
    used = re.fullmatch(rf"{how} \(see WORKER_MEMORY\)", error["message"])
    assert 150 < int(used[1]) < 1000
    assert error["permanent"]


@pytest.mark.deep
def test_files_are_counted_by_class(client, start_admitting):
    learn(client, "fill", 150, files=10 * MIB)
    learn(client, "fill", 30)
    start_admitting(1000)
    both = {"fill", f"fill/{file_class(10 * MIB)}"}
    needs = wait_until(lambda: (found := client.workers()[0].admission.needs).keys() == both and found)
    assert needs["fill"] == max(needs.values())
