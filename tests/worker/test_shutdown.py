"""How a worker leaves: what runs may finish, what does not finish in time goes back, nothing stays behind."""

import os
import signal
import time
from collections import Counter
from contextlib import suppress

import psutil

from tests.helpers import wait_until, wait_until_started
from tests.worker.processes import error_of


def test_lets_running_jobs_finish_and_leaves_the_rest_to_others(client, start_worker, tmp_path):
    ledger = tmp_path / "ledger"
    job = {"type": "nap", "payload": {"seconds": 0.2, "ledger": str(ledger)}}
    worker = start_worker()
    ids = client.enqueue_many([job] * 100)
    wait_until(lambda: ledger.exists() and len(ledger.read_text().splitlines()) >= 4)
    assert worker.stop() == 0
    wait_until(lambda: worker.session() == [])
    states = Counter(client.inspector.state("default", job_id) for job_id in ids)
    assert states["completed"] == len(ledger.read_text().splitlines())
    assert states["completed"] + states["pending"] == 100
    # What ran, not what waited.
    assert states["completed"] < 50
    assert client.workers() == []
    start_worker(WORKER_CONCURRENCY="16")
    wait_until(lambda: client.stats().queues["default"].totals["completed"] == 100, 20)
    # Each ran exactly once, in its first attempt.
    assert sorted(ledger.read_text().splitlines()) == sorted(f"{job_id} 1" for job_id in ids)


def test_requeues_jobs_that_do_not_finish_in_time_without_counting_the_attempt(client, start_worker):
    worker = start_worker(WORKER_SHUTDOWN_TIMEOUT="500ms")
    ids = [client.enqueue("nap", {"seconds": 60}), client.enqueue("hang_in_c", {})]
    wait_until_started(*ids)
    begun = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - begun > 0.4
    jobs = [client.job(job_id) for job_id in ids]
    assert [(job.status, job.attempts) for job in jobs] == [("pending", 0)] * 2
    wait_until(lambda: worker.session() == [])


def test_requeued_jobs_go_first(client, start_worker, tmp_path):
    worker = start_worker(WORKER_CONCURRENCY="1", WORKER_SHUTDOWN_TIMEOUT="0s")
    interrupted = client.enqueue("nap", {"seconds": 60})
    wait_until_started(interrupted)
    client.enqueue_many([{"type": "echo", "payload": {}}] * 20)
    assert worker.stop() == 0
    start_worker(WORKER_CONCURRENCY="1")
    wait_until_started(interrupted, times=2)


def test_a_second_sigint_requeues_running_jobs_at_once(client, start_worker):
    worker = start_worker(WORKER_SHUTDOWN_TIMEOUT="60s")
    ids = client.enqueue_many([{"type": "nap", "payload": {"seconds": 60}}] * 2)
    wait_until_started(*ids)
    worker.send(signal.SIGINT)
    wait_until(lambda: '"stopping"' in worker.log)
    assert worker.running
    begun = time.monotonic()
    worker.send(signal.SIGINT)
    assert worker.wait() == 0
    # By itself it would wait for a minute.
    assert time.monotonic() - begun < 15
    assert [(client.job(job_id).status, client.job(job_id).attempts) for job_id in ids] == [("pending", 0)] * 2
    wait_until(lambda: worker.session() == [])
    assert client.workers() == []


def test_sigterm_to_all_processes_several_times_does_no_harm(client, start_worker):
    worker = start_worker()
    ids = client.enqueue_many([{"type": "nap", "payload": {"seconds": 1}}] * 2)
    wait_until_started(*ids)
    for _ in range(3):
        for pid in worker.session():
            # It may have just ended.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.05)
    assert worker.wait() == 0
    jobs = [client.job(job_id) for job_id in ids]
    assert [(job.status, job.attempts) for job in jobs] == [("completed", 1)] * 2


def test_signals_to_a_child_alone_change_nothing(client, start_worker):
    worker = start_worker(WORKER_CONCURRENCY="1")
    job_id = client.enqueue("nap", {"seconds": 0.5})
    wait_until_started(job_id)
    (child,) = worker.children()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(child, number)
        # Not all in one moment: their frames would fill the small stack that faulthandler has signals run on.
        time.sleep(0.02)
    job = client.wait(job_id, 20)
    assert (job.status, error_of(job)) == ("completed", {})
    assert worker.children() == [child]


def test_what_a_handler_left_behind_goes_with_its_child(client, start_worker):
    worker = start_worker()
    program = int(bytes(client.wait(client.enqueue("leave_behind", {}), 20).result))
    wait_until(lambda: program not in worker.session())
    assert worker.stop() == 0
    wait_until(lambda: worker.session() == [])


def test_leaves_within_seconds_when_the_server_is_gone(start_worker, own_server, own_client):
    worker = start_worker(own_client, WORKER_SHUTDOWN_TIMEOUT="1s")
    own_server.kill()
    before = after = psutil.Process(worker.pid).cpu_times().user
    begun = time.monotonic()
    worker.send(signal.SIGTERM)
    while worker.running and time.monotonic() - begun < 15:
        time.sleep(0.1)
        # It may end at any time.
        with suppress(psutil.NoSuchProcess):
            after = psutil.Process(worker.pid).cpu_times().user
    worker.wait(1)
    assert after - before < 1
    wait_until(lambda: worker.session() == [])
