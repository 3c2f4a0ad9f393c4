"""Where a running job is: `fleet.stack`, and the errors of jobs that were killed."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from gopher.worker.children.stacks import SIGNAL

from gopher.errors import JobConflict, JobNotFound
from gopher.queue.commands import StackAnswer, answer_stack
from tests.helpers import wait_until
from tests.seeding import SeedingWorker
from tests.worker.processes import error_of

HANDLERS = {"GOPHER_HANDLERS": "tests.worker.stack_handlers"}


@pytest.fixture
def begin(client, tmp_path):
    """Return a function that enqueues a job and waits until its handler has begun."""

    def enqueue(job_type, payload=None, **options):
        mark = tmp_path / f"mark-{len(list(tmp_path.glob('mark-*')))}"
        job_id = client.enqueue(job_type, {"mark": str(mark), **(payload or {})}, **options)
        wait_until(mark.exists)
        return job_id

    return enqueue


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_stack_of_a_job_that_hangs_in_c_shows_the_handlers_line(client, start_worker, begin, method):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="1", WORKER_START_METHOD=method)
    job_id = begin("hangs_in_c")
    # On a busy machine it may still be where it creates the mark.
    found = wait_until(lambda: (found := client.fleet.stack(job_id)).place.endswith("hangs_in_c") and found)
    assert "tests/worker/stack_handlers.py" in found.stack
    assert found.stack.splitlines()[0].endswith("(most recent call first):")
    # Not how it came there.
    assert "worker/children" not in found.stack
    (worker,) = client.workers()
    assert (found.job_id, found.worker, found.attempt) == (job_id, worker.id, 1)
    assert found.pid == worker.children[0].pid
    assert client.job(job_id).status == "processing"


def test_the_stacks_of_other_threads_follow_that_of_the_handler(client, start_worker, begin):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    job_id = begin("waits_for_threads")

    def stacks():
        handler, *others = client.fleet.stack(job_id).stack.split("\n\n")
        assert "in waits_for_threads" in handler
        return others

    # A thread that was started begins a moment later.
    wait_until(lambda: sum("in _rest" in other for other in stacks()) == 2)


def test_it_is_read_as_often_as_one_likes_and_the_job_runs_on(client, start_worker, begin, tmp_path):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="2")
    until = tmp_path / "until"
    jobs = [begin(job_type, {"until": str(until)}) for job_type in ("awaits", "burns")]
    for job_id in jobs:
        assert client.fleet.stack(job_id).place
    until.touch()
    assert {client.wait(job_id, 20).status for job_id in jobs} == {"completed"}
    with pytest.raises(JobConflict, match="it is not running, but completed"):
        client.fleet.stack(jobs[0])
    with pytest.raises(JobNotFound):
        client.fleet.stack("01a20d1c-ddd6-7e46-9daa-2af634a7f173")


def test_a_process_whose_name_is_no_text_is_asked_too(client, start_worker, begin, tmp_path):
    start_worker(**HANDLERS)
    until = tmp_path / "until"
    job_id = begin("renames_itself", {"until": str(until)})
    assert "naps" in client.fleet.stack(job_id).place
    until.touch()
    assert client.wait(job_id, 20).status == "completed"


def test_a_worker_that_has_not_received_the_job_yet_is_asked_again(client):
    worker = SeedingWorker(client)
    job_id = client.enqueue("burns", {})
    (job,) = worker.fetch()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.fleet.stack, job_id)
        # It does not know the job when it reads the first question.
        wait_until(lambda: len(client.server.run(worker.queue.heartbeat(worker.name, 60.0)).commands) >= 2)
        keys = client.server.keys.for_queue("default")
        answer = StackAnswer(pid=7, attempt=job.attempt, stack="the stack", place="shop.py:1 in send")
        client.server.run(answer_stack(keys, job_id, answer))
        assert (asked.result(20).stack, asked.result(20).pid) == ("the stack", 7)


def test_a_job_that_has_closed_the_files_of_its_child_has_no_stack(client, start_worker, begin):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    job_id = begin("closes_files")
    with pytest.raises(JobConflict, match="a handler has closed its files"):
        client.fleet.stack(job_id)


@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN", "unregister"])
def test_a_job_that_has_reset_its_signals_is_not_ended_for_its_stack_nor_is_the_next_one(
    client, start_worker, begin, tmp_path, action
):
    worker = start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    children = worker.children()
    job_id = begin("resets_signals", {"action": action, "until": str(tmp_path / "until")})
    with pytest.raises(JobConflict, match="or reset its signals"):
        client.fleet.stack(job_id)
    (tmp_path / "until").touch()
    assert client.wait(job_id, 20).status == "completed"
    after = begin("naps", {"until": str(tmp_path / "then")})
    assert "in naps" in client.fleet.stack(after).stack
    (tmp_path / "then").touch()
    assert client.wait(after, 20).status == "completed"
    assert worker.children() == children


def test_a_crash_says_where_it_was_although_an_earlier_job_has_reset_the_signals(client, start_worker, begin):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    client.wait(begin("resets_signals", {"action": "SIG_DFL", "seconds": 0}), 20)
    error = error_of(client.wait(begin("crashes", max_retries=0), 20))
    assert (error["type"], "in crashes" in error["traceback"]) == ("ChildCrashed", True), error


def test_a_child_whose_job_has_blocked_the_question_for_its_stack_answers_that_of_the_next_one(
    client, start_worker, begin, tmp_path
):
    worker = start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    children = worker.children()
    job_id = begin("blocks_signals", {"until": str(tmp_path / "until")})
    with pytest.raises(JobConflict, match="does not react to signals"):
        client.fleet.stack(job_id)
    (tmp_path / "until").touch()
    assert client.wait(job_id, 20).status == "completed"
    after = begin("naps", {"until": str(tmp_path / "then")})
    assert "in naps" in client.fleet.stack(after).stack
    assert worker.children() == children


def test_a_job_whose_child_is_ended_by_its_interruption_has_timed_out_or_is_cancelled(client, start_worker, begin):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    late = begin("resets_signals", {"action": "SIG_DFL", "seconds": 60}, timeout="1s", max_retries=0)
    view = client.wait(late, 20)
    assert (view.status, error_of(view)["type"], view.history[0].outcome) == ("failed", "Timeout", "timeout")
    stopped = begin("resets_signals", {"action": "SIG_DFL", "seconds": 60})
    client.cancel(stopped)
    view = client.wait(stopped, 20)
    assert (view.status, view.history[0].outcome) == ("cancelled", "cancelled")


def test_the_error_of_a_job_that_was_killed_says_where_it_was(client, start_worker, begin):
    start_worker(**HANDLERS, WORKER_CONCURRENCY="1")
    job_id = begin("hangs_in_c", timeout="2s", max_retries=0)
    view = client.wait(job_id, 20)
    error = error_of(view)
    assert error["message"].endswith("and was killed")
    assert "in hangs_in_c" in error["traceback"]
    assert "worker/children" not in error["traceback"]
    group = client.dead_letters.groups().groups[0]
    assert group.place.endswith("hangs_in_c")


def test_a_child_that_waits_for_a_processor_says_where_it_was_before_it_is_killed(client, start_worker, begin):
    worker = start_worker(**HANDLERS, WORKER_CONCURRENCY="1")

    def last_place(_):
        job_id = begin("hangs_in_c", timeout="2s", max_retries=0)
        # The worker's record may still show the one before.
        (child,) = worker.children()
        process = psutil.Process(child)
        process.suspend()
        # Its stack has been asked for.
        wait_until(lambda: has_pending(process.pid, SIGNAL), 30)
        time.sleep(0.2)
        with suppress(psutil.NoSuchProcess):
            process.resume()
        return error_of(client.wait(job_id, 30)).get("traceback", "")

    # Also this process may have to wait for a processor, for longer than children are waited for.
    assert any("in hangs_in_c" in last_place(attempt) for attempt in range(5))


def has_pending(pid, number):
    """Return whether a signal waits for a process that is stopped, or the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return any(int(mask, 16) >> (number - 1) & 1 for mask in re.findall(r"^S\w+Pnd:\s*(\w+)", status, re.MULTILINE))
