"""Admission by memory: jobs start if what their types need fits beside what runs."""

import math
import re
import time

import pytest
from gopher.worker.children.oom_kills import _RECENT

from gopher.base.latencies import file_class
from gopher.base.times import from_rfc3339
from gopher.errors import JobConflict
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


def test_small_jobs_get_by_many_large_ones_that_came_before_them(client, start_admitting, tmp_path):
    learn(client, "fill", 250)
    start_admitting(400)
    first = fill(client, 1, tmp_path / "until")
    wait_until_started(first)
    large = [fill(client, 1, tmp_path / "until") for _ in range(40)]
    wait_until(lambda: sum(len(view.admission.held) for view in client.workers()) >= 16)
    small = [client.enqueue("small", {}), client.enqueue("small", {}, priority="high")]
    assert {client.wait(each, 30).status for each in small} == {"completed"}
    assert client.job(first).status == "processing"
    (tmp_path / "until").touch()
    ended = [client.wait(each, 60) for each in large]
    assert {(view.status, view.attempts) for view in ended} == {("completed", 1)}


def test_a_held_job_that_expires_never_runs(client, start_admitting, tmp_path):
    learn(client, "fill", 250)
    start_admitting(400)
    first = fill(client, 60, tmp_path / "until")
    wait_until_started(first)
    late = client.enqueue("fill", {"megabytes": 60, "until": str(tmp_path / "until")}, expires_in="10s")
    wait_until(lambda: held(client, late))
    # While the first one runs, and children are idle.
    assert client.wait(late, 30).status == "expired"
    assert client.job(first).status == "processing"
    (tmp_path / "until").touch()
    assert client.wait(first, 20).status == "completed"


@pytest.mark.parametrize("what", ["type", "queue"])
def test_a_held_job_does_not_start_once_its_type_or_queue_is_paused(client, start_admitting, tmp_path, what):
    learn(client, "fill", 250)
    start_admitting(400)
    first = fill(client, 60, tmp_path / "until")
    wait_until_started(first)
    second = fill(client, 60, tmp_path / "until")
    wait_until(lambda: held(client, second))
    pause, resume = {
        "type": (client.flow.pause_type, client.flow.resume_type),
        "queue": (client.flow.pause_queue, client.flow.resume_queue),
    }[what]
    name = "fill" if what == "type" else "default"
    pause(name)
    wait_until(lambda: client.job(second).status == "pending")
    (tmp_path / "until").touch()
    assert client.wait(first, 20).status == "completed"
    assert (client.job(second).status, client.job(second).attempts) == ("pending", 0)
    resume(name)
    assert client.wait(second, 20).attempts == 1


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


def test_a_job_that_waits_to_run_alone_says_so_and_has_no_stack(client, start_admitting, start_scheduler, tmp_path):
    start_scheduler()
    learn(client, "fill", 2)
    learn(client, "refused", 2)
    start_admitting(300)
    first = fill(client, 2, tmp_path / "until")
    wait_until_started(first)
    job_id = client.enqueue("refused", {}, max_retries=0)
    reasons = wait_until(lambda: (found := client.why(job_id)) and found[-1].code == "held" and found, 60)
    assert [each.code for each in reasons] == ["held"]
    assert "until no other job runs there: it was killed for lack of memory before" in reasons[0].message
    with pytest.raises(JobConflict, match="it has not started: it waits for memory in its worker"):
        client.fleet.stack(job_id)
    (tmp_path / "until").touch()
    assert client.wait(job_id, 60).attempts == 2


def test_a_job_that_the_system_kills_before_it_was_looked_at_has_its_figure(
    client, start_admitting, start_scheduler, tmp_path
):
    start_scheduler()
    kills = tmp_path / "kills"
    kills.touch()
    start_admitting(1000, GOPHER_HANDLERS="tests.worker.oom_handlers", KILLS=str(kills))
    error = error_of(client.wait(client.enqueue("burst", {"megabytes": 200}), 60))
    used = re.search(r"killed by the system after it had (\d+) MiB", error["message"])
    assert 200 < int(used[1]) < 400
    needs = wait_until(lambda: client.workers()[0].admission.needs)
    assert 200 * MIB < needs["burst"] < 400 * MIB


def test_a_job_is_not_said_to_have_had_no_memory_because_another_process_was_killed_for_that_before(
    client, start_worker, tmp_path
):
    kills = tmp_path / "kills"
    kills.touch()
    start_worker(GOPHER_HANDLERS="tests.worker.oom_handlers", KILLS=str(kills))
    job_id = client.enqueue("spared", {"until": str(tmp_path / "until")})
    wait_until(kills.read_bytes)
    for _ in range(2):
        (before,) = client.workers()
        wait_until(lambda before=before: client.workers()[0].last_heartbeat > before.last_heartbeat)
    # For as long a kill explains the death of a child that is noticed a little later.
    time.sleep(_RECENT)
    (tmp_path / "until").touch()
    assert error_of(client.wait(job_id, 60))["message"] == "its child process died once (SIGKILL)"


def test_jobs_without_files_need_what_those_without_files_have_needed(client, start_admitting, tmp_path):
    learn(client, "fill", 250, files=10 * MIB)
    learn(client, "fill", 30)
    start_admitting(400)
    wait_until_started(fill(client, 220, tmp_path / "until"))

    def shown():
        (view,) = client.workers()
        return view.admission.free < view.admission.needs.get("fill", 0) and view.admission

    admission = wait_until(shown)
    assert admission.needs["fill/0"] < 60 * MIB < admission.free
    client.flow.pause_queue("default")
    assert "memory" not in {each.code for each in client.why(client.enqueue("fill", {}))}
    (tmp_path / "until").touch()


@pytest.mark.deep
def test_files_are_counted_by_class(client, start_admitting):
    learn(client, "fill", 150, files=10 * MIB)
    learn(client, "fill", 30)
    start_admitting(1000)
    names = {"fill", "fill/0", f"fill/{file_class(10 * MIB)}"}
    needs = wait_until(lambda: (found := client.workers()[0].admission.needs).keys() == names and found)
    assert needs["fill"] == max(needs.values())
