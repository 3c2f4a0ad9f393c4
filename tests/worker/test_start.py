"""How a worker starts, or says why it does not."""

import os
import signal

from tests.helpers import wait_until, wait_until_started
from tests.worker.processes import Process, where


def run_to_its_end(client, folder, started, **environ):
    process = Process("worker", {**where(client), **environ}, folder)
    started.append(process)
    return process.wait(), process.log


def test_exits_with_a_sentence_and_the_modules_own_frames_when_it_can_not_be_imported(client, tmp_path, started):
    code, log = run_to_its_end(client, tmp_path, started, GOPHER_HANDLERS="tests.monsters.broken")
    assert code == 1
    assert "Traceback" not in log
    assert "RuntimeError: this module can't be imported" in log


def test_exits_with_a_sentence_when_a_variable_can_not_be_read(client, tmp_path, started):
    code, log = run_to_its_end(client, tmp_path, started, WORKER_CONCURRENCY="many", WORKER_LEASE="soon")
    assert code == 1
    assert "WORKER_CONCURRENCY='many'" in log
    assert "WORKER_LEASE='soon'" in log
    assert "Traceback" not in log


def test_shows_itself_with_its_children_queues_and_types(start_worker):
    worker = start_worker(WORKER_QUEUES="mails,default", WORKER_CONCURRENCY="3")
    view = wait_until(lambda: (view := worker.view()) and len(view.children) == 3 and view)
    assert view.queues == ["mails", "default"]
    assert {"echo", "segfault"} <= set(view.types)
    assert sorted(child.pid for child in view.children) == worker.children()
    assert view.id.split("-")[-2] == str(worker.pid)


def test_an_idle_worker_shows_what_its_last_jobs_have_changed_long_before_its_next_heartbeat(client, start_worker):
    # An idle worker's heartbeat is a sixth of the lease, here 50 s, and it shows itself with every other one.
    worker = start_worker(WORKER_LEASE="5m", WORKER_CONCURRENCY="1")
    for done in range(1, 4):
        assert client.wait(client.enqueue("echo", {}), 10).status == "completed"
        wait_until(lambda done=done: worker.view().jobs_done == done, 20, "the job to be counted")
    assert worker.view().children[0].job_id is None


def test_an_idle_worker_shows_a_child_that_took_the_place_of_a_dead_one_long_before_its_next_heartbeat(start_worker):
    worker = start_worker(WORKER_LEASE="5m", WORKER_CONCURRENCY="1")
    (before,) = worker.children()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: before not in [child.pid for child in worker.view().children] and worker.view().children, 20)


def test_has_one_child_more_or_less_when_told(client, start_worker):
    worker = start_worker(WORKER_CONCURRENCY="1")
    worker.send(signal.SIGTTIN)
    wait_until(lambda: len(worker.children()) == 2)
    worker.send(signal.SIGTTOU)
    wait_until(lambda: len(worker.children()) == 1)
    # It always keeps one.
    worker.send(signal.SIGTTOU)
    assert client.wait(client.enqueue("echo", {"n": 1}), 20).status == "completed"
    assert len(worker.children()) == 1


def test_logs_what_runs_when_asked(client, start_worker):
    worker = start_worker()
    job_id = client.enqueue("nap", {"seconds": 30})
    wait_until_started(job_id)
    worker.send(signal.SIGUSR1)
    wait_until(lambda: f'"job_id": "{job_id}"' in worker.log)
    assert worker.running


def test_fetches_no_more_when_told_to_be_quiet(client, start_worker):
    worker = start_worker()
    assert client.wait(client.enqueue("echo", {}), 20).status == "completed"
    worker.send(signal.SIGTSTP)
    wait_until(lambda: "no more jobs are fetched" in worker.log)
    job_id = client.enqueue("echo", {})
    other = start_worker()
    done = client.wait(job_id, 20)
    assert done.status == "completed"
    assert f"-{other.pid}-" in done.worker
    assert worker.stop() == 0


def test_names_a_variable_that_seems_to_be_misspelt_without_its_value(start_worker):
    worker = start_worker(WORKER_QEUES="mails")
    wait_until(worker.view)
    assert "WORKER_QEUES is no setting, and ignored: did you mean 'WORKER_QUEUES'?" in worker.log
    assert "mails" not in worker.log
