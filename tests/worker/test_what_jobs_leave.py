"""What one job leaves in its child the next one does not see, and what it forks is a process like any other."""

import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import ANY

import pytest

from tests.helpers import wait_until
from tests.monsters.leftovers import LEFT
from tests.worker.processes import Worker, error_of, patient_client, result_of


@pytest.fixture(scope="module")
def worker(redis_url):
    """One worker of one child for the whole module."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-worker-"))
    with patient_client(redis_url, f"test-{folder.name}") as client:
        # One thread of numpy's would take signals that a job has blocked in its own.
        quiet = {"OPENBLAS_NUM_THREADS": "1", "WORKER_CONCURRENCY": "1"}
        worker = Worker(client, folder, GOPHER_HANDLERS="tests.monsters.leftovers", **quiet)
        try:
            yield worker
        finally:
            worker.destroy()
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def client(worker):
    return worker.client


def ended(client, job_type, payload, **options):
    view = client.wait(client.enqueue(job_type, payload, max_retries=0, **options), 30)
    assert (view.status, view.attempts) == ("completed", 1), error_of(view)
    return result_of(view), [line.line for line in client.logs(view.job_id)]


@pytest.fixture(scope="module")
def before(client):
    """What a job finds where none was before it."""
    return ended(client, "found", {})


def moment(what):
    """Return a payload for `found`: where a timer may be left it burns time for a moment."""
    return {"seconds": 0.3} if any(word in what for word in ("alarm", "timer", "dump")) else {}


OOM_SCORE = int(Path("/proc/self/oom_score_adj").read_text())
SAID = ["printed ö", "to stderr", "said ö", "WARNING found: logged", "to 1", "to 2"]


@pytest.mark.parametrize("what", LEFT)
def test_the_next_job_in_the_same_child_finds_everything_as_it_was(client, before, what):
    assert before[1] == SAID
    pid, log = ended(client, "leave", {"what": what})
    found = ended(client, "found", moment(what))
    # The same child, or this proves nothing.
    assert found[0]["pid"] == pid == before[0]["pid"]
    assert found == before
    assert log == (["half a line"] if "half a line" in what else [])


#: What ends a coroutine itself: its loop needs sys.stderr and takes its time to end, the thread beside it the alarm.
NOT_IN_COROUTINES = {"deleted streams", "an alarm that is blocked and pending", "a timer whose handler raises"}


@pytest.mark.parametrize("what", [what for what in LEFT if what not in NOT_IN_COROUTINES])
def test_it_is_so_for_coroutines_too(client, what):
    before = ended(client, "found_async", {})
    assert before[0]["tasks"] == []
    pid, _ = ended(client, "leave_async", {"what": what})
    found = ended(client, "found_async", moment(what))
    assert found[0]["pid"] == pid == before[0]["pid"]
    assert found == before


def test_a_job_that_follows_at_once_finds_it_so_too(client, before):
    """Jobs of one message to the child: nothing lies between them but its own bookkeeping."""
    jobs = [
        {"type": job_type, "payload": {"what": what, "seconds": 0.01}}
        for what in LEFT
        for job_type in ("leave", "found")
    ]
    views = [client.wait(job_id, 30) for job_id in client.enqueue_many(jobs)]
    assert [error_of(view) for view in views] == [{}] * len(views)
    assert {(view.status, view.attempts) for view in views} == {("completed", 1)}
    child = result_of(views[0])
    assert [result_of(view) for view in views[1::2]] == [{**before[0], "pid": child}] * len(LEFT)
    assert [[line.line for line in client.logs(view.job_id)] for view in views[1::2]] == [SAID] * len(LEFT)


LEFT_FOR_GOOD = {
    "a thread": "leave_for_good: threads left running: late",
    # Not its name: for a moment after the start it is still that of the child.
    "a process": "leave_for_good: processes left running: ",
    "another user": "leave_for_good: its user or group was changed",
    "another process group": "leave_for_good: its process group or session was changed",
}


@pytest.mark.parametrize("what", LEFT_FOR_GOOD)
def test_a_child_in_which_something_permanent_is_left_is_replaced_and_the_log_names_it(client, worker, what):
    if what == "another user" and os.geteuid() != 0:
        pytest.skip("only root may become another user")
    jobs = [
        {"type": "leave_for_good", "payload": {"what": what}, "max_retries": 0},
        {"type": "found", "payload": {"seconds": 0.5}, "max_retries": 0},
    ]
    views = [client.wait(job_id, 30) for job_id in client.enqueue_many(jobs)]
    assert [(view.status, view.attempts) for view in views] == [("completed", 1)] * 2
    assert result_of(views[1])["pid"] != result_of(views[0])
    assert [line.line for line in client.logs(views[1].job_id)] == SAID
    wait_until(lambda: any("is replaced" in line and LEFT_FOR_GOOD[what] in line for line in worker.log.splitlines()))
    # It goes with the child, which may still be there when the next one has run a job.
    wait_until(lambda: len(children := worker.children()) == 1 and worker.session() == [worker.pid, *children])


def test_the_next_job_is_still_reached_by_its_timeout(client, worker):
    children = worker.children()
    for what in ("all signals blocked", "all signals ignored", "handlers that raise", "dumps at signals"):
        ended(client, "leave", {"what": what})
        view = client.wait(client.enqueue("waits", {}, timeout="200ms", max_retries=0), 30)
        # No mention of a kill: the handler has reacted to the exception.
        assert error_of(view)["message"] == "ran longer than its timeout of 200ms"
    assert worker.children() == children


@pytest.mark.parametrize("what", [what for what in LEFT if "stream" in what or "descriptors" in what])
def test_log_lines_of_a_job_arrive_while_its_streams_are_redirected(client, what):
    assert "said all the same" in "".join(ended(client, "speak_without_streams", {"what": what})[1])


def test_functions_whose_calls_are_noted_are_still_those_of_their_modules(client):
    assert ended(client, "look_at_noted_functions", {})[0] == []


def test_a_job_that_closes_the_channel_of_its_child_is_told_so(client):
    view = client.wait(client.enqueue("leave_for_good", {"what": "a closed channel"}, max_retries=0), 30)
    assert error_of(view)["type"] == "ChildCrashed"
    assert "file descriptor that connects its child to the worker" in error_of(view)["traceback"]


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.deep)])
def test_a_pool_of_forked_processes_ends_each_time(client, count):
    ids = client.enqueue_many({"type": "pool", "payload": {}, "timeout": "2m", "max_retries": 0} for _ in range(count))
    views = [client.wait(job_id, 240) for job_id in ids]
    assert [view.status for view in views] == ["completed"] * count, [error_of(view) for view in views]
    assert [result_of(view) for view in views] == [[0, 1, 4, 9, 16]] * count


def test_a_forked_process_is_ended_by_the_signal_that_says_so(client):
    assert ended(client, "terminated", {})[0] == -15


def test_a_forked_process_keeps_the_signal_handlers_that_the_job_has_set(client):
    assert ended(client, "own_signal_handler", {})[0] == 7


@pytest.mark.deep
def test_copies_that_come_back_take_no_job_of_two_thousand_honest_ones(client, worker, tmp_path):
    copies, honest = tmp_path / "copies", tmp_path / "honest"
    jobs = []
    for number in range(500):
        way = ("return", "raise", "exit")[number % 3]
        jobs.append({"type": "fork_and_return", "payload": {"ledger": str(copies), "way": way}})
        numbers = range(4 * number, 4 * number + 4)
        jobs += [{"type": "note_number", "payload": {"ledger": str(honest), "n": each}} for each in numbers]
    views = [client.wait(job_id, 240) for job_id in client.enqueue_many(jobs)]
    assert {(view.status, view.attempts) for view in views} == {("completed", 1)}
    assert sorted(map(int, honest.read_text().split())) == list(range(2000))
    assert len(set(copies.read_text().split())) == 500
    wait_until(lambda: worker.session() == [worker.pid, *worker.children()])


@pytest.mark.parametrize("way", ["fork", "subprocess", "posix_spawn", "system"])
def test_a_process_that_a_job_starts_inherits_nothing_of_its_child(client, way):
    found = ended(client, "tell_of_itself", {"way": way})[0]
    assert found == {"oom": OOM_SCORE, "death signal": 0, "descriptors": [0, 1, 2] if way != "fork" else ANY}


@pytest.mark.parametrize(("way", "code"), [("return", 0), ("raise", 1), ("exit", 3)])
def test_a_copy_that_comes_back_from_the_handler_ends_and_reports_nothing(client, worker, tmp_path, way, code):
    ledger = tmp_path / "ledger"
    jobs = [{"type": "fork_and_return", "payload": {"ledger": str(ledger), "way": way}} for _ in range(10)]
    honest = [{"type": "leave", "payload": {"what": "a folder a umask and a variable"}} for _ in range(10)]
    mixed = [job for pair in zip(jobs, honest, strict=True) for job in pair]
    views = [client.wait(job_id, 30) for job_id in client.enqueue_many(mixed)]
    assert {(view.status, view.attempts) for view in views} == {("completed", 1)}
    assert [result_of(view) for view in views[::2]] == [code] * 10
    (child,) = worker.children()
    assert {result_of(view) for view in views[1::2]} == {child}
    assert len(set(ledger.read_text().split())) == 10
    wait_until(lambda: worker.session() == [worker.pid, child])
