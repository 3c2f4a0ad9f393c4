"""The server goes away while jobs run: they go on, are ended on time, and are settled when it is back."""

import os
import signal
import time

import psutil
import pytest

from tests.helpers import wait_until, wait_until_started
from tests.pulse import Pulse

#: How often a time is measured at most until it is within its bound.
ROUNDS = 3


def test_jobs_that_run_while_the_server_restarts_are_settled_afterwards(start_worker, own_server, own_client, tmp_path):
    """And none is run twice, and none is lost, of those that waited, ran, and were to come later."""
    client, ledger = own_client, tmp_path / "ledger"
    worker = start_worker(client, WORKER_LEASE="20s")
    job = {"type": "nap", "payload": {"seconds": 0.1, "ledger": str(ledger)}}
    ids = client.enqueue_many([{**job, "payload": {**job["payload"], "seconds": 0.8}}, *[job] * 60])

    def done():
        return len(ledger.read_text().splitlines()) if ledger.exists() else 0

    for _ in range(3):
        # All of them, if a busy machine lets the worker go on and the test wait.
        enough = min(done() + 5, len(ids))
        wait_until(lambda enough=enough: done() >= enough)
        own_server.kill()
        time.sleep(0.3)
        own_server.start()
    views = [client.wait(job_id, 20) for job_id in ids]
    assert {view.status for view in views} == {"completed"}
    assert sorted(ledger.read_text().splitlines()) == sorted(f"{job_id} 1" for job_id in ids)
    assert client.stats().queues["default"].processing == 0
    assert worker.running


def test_timeouts_are_enforced_on_time_while_the_server_is_unavailable(start_worker, own_server, own_client, tmp_path):
    client, mark = own_client, tmp_path / "mark"
    worker = start_worker(client, WORKER_LEASE="20s")
    # Before the jobs: while this process has no processor, they may end.
    asked, before = time.monotonic(), worker.children()
    polite = client.enqueue("patient", {"mark": str(mark)}, timeout="1s", max_retries=0)
    rude = client.enqueue("hang_in_c", {}, timeout="1s", max_retries=0)
    wait_until_started(polite, rude)
    begun = time.monotonic()
    own_server.kill()
    wait_until(lambda: mark.exists() and mark.read_text(), 15)
    # The one that does not react is killed, and another child is there in its place.
    wait_until(lambda: len(now := worker.children()) == 2 and now != before, 15)
    ended = time.monotonic()
    own_server.start()
    assert ended - asked > 0.5
    assert ended - begun < 15
    for job_id in (polite, rude):
        view = client.wait(job_id, 30)
        assert (view.status, [row.outcome for row in view.history]) == ("failed", ["timeout"])


def test_timeouts_are_enforced_on_time_while_the_server_hangs(start_worker, own_server, own_client, tmp_path):
    """Frozen, it takes what is sent and never answers: worse than one that is gone."""
    client, mark = own_client, tmp_path / "mark"
    worker = start_worker(client, WORKER_LEASE="20s")
    asked = time.monotonic()
    job_id = client.enqueue("patient", {"mark": str(mark)}, timeout="1s", max_retries=0)
    wait_until_started(job_id)
    begun = time.monotonic()
    os.kill(own_server.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: mark.exists() and mark.read_text(), 15)
        ended = time.monotonic()
        assert ended - asked > 0.5
        assert ended - begun < 15
        process = psutil.Process(worker.pid)
        process.cpu_percent()
        assert process.cpu_percent(1.0) < 15
    finally:
        os.kill(own_server.pid, signal.SIGCONT)
    assert client.wait(job_id, 15).status == "failed"


# The lease of the long form outlasts any time without a processor before the server goes.
@pytest.mark.parametrize(
    ("lease", "within"), [("1500ms", 15), pytest.param("8s", 8, marks=[pytest.mark.deep, pytest.mark.quiet])]
)
def test_a_job_that_must_never_run_twice_at_once_is_stopped_before_its_lease_is_over(
    start_worker, own_server, own_client, lease, within
):
    client = own_client
    worker = start_worker(client, WORKER_CONCURRENCY="1", WORKER_LEASE=lease, WORKER_POLL_INTERVAL="500ms")
    job_id = client.enqueue("alone", {"seconds": 600}, timeout="15m")
    for number in range(1, ROUNDS + 1):
        wait_until_started(job_id, times=number)
        (child,) = worker.children()
        with Pulse() as pulse:
            own_server.kill()
            began = time.monotonic()
            wait_until(lambda child=child: child not in worker.children(), what="the child to be stopped")
            took = time.monotonic() - began
        own_server.start()
        # It is given back with its attempt, and begins anew.
        wait_until_started(job_id, times=number + 1)
        assert child not in worker.children()
        assert client.job(job_id).attempts == 1
        if pulse.allows(took, within):
            break
        # The worker alone may have had no processor.
        assert number < ROUNDS, f"it was stopped after {took:.2f} s; {pulse}"


def test_heartbeats_do_not_pile_up_while_the_server_is_unavailable(start_worker, own_server, own_client):
    """What waits for the server must not grow with the time that it is away."""
    client = own_client
    worker = start_worker(client, WORKER_LEASE="1800ms", WORKER_POLL_INTERVAL="500ms")
    job_id = client.enqueue("nap", {"seconds": 3.5}, timeout="60s")
    wait_until_started(job_id)
    own_server.kill()
    process = psutil.Process(worker.pid)
    process.cpu_percent()
    # A heartbeat is due every 300 ms.
    assert process.cpu_percent(2.4) < 15
    # The worker may find it before this process does.
    began = time.monotonic()
    own_server.start()
    wait_until(lambda: worker.view() is not None)
    beats = client.server.client.info("commandstats").get("cmdstat_pexpireat", {"calls": 0})["calls"]
    # Those that have become due since then.
    assert beats <= 3 + (time.monotonic() - began) / 0.3
    assert client.wait(job_id, 10).status == "completed"


def test_a_worker_that_is_started_before_the_server_waits_for_it(
    start_worker, own_server, own_client, started, tmp_path
):
    from tests.worker.processes import QUICK, Process, where

    own_server.kill()
    worker = Process("worker", {**where(own_client), **QUICK}, tmp_path)
    started.append(worker)
    wait_until(lambda: '"worker started"' in worker.log)
    own_server.start()
    assert own_client.wait(own_client.enqueue("echo", {}), 10).status == "completed"
    assert worker.stop() == 0


def test_what_was_done_before_the_server_went_is_settled_when_the_worker_leaves_after_it_is_back(
    start_worker, own_server, own_client, tmp_path
):
    client, ledger = own_client, tmp_path / "ledger"
    worker = start_worker(client, WORKER_LEASE="20s", WORKER_SHUTDOWN_TIMEOUT="10s")
    job_id = client.enqueue("nap", {"seconds": 1.5, "ledger": str(ledger)})
    wait_until_started(job_id)
    own_server.kill()
    worker.send(signal.SIGTERM)
    wait_until(lambda: '"stopping"' in worker.log)
    # It has the result then, and waits for somebody to give it to.
    wait_until(ledger.exists)
    time.sleep(0.5)
    assert worker.running
    own_server.start()
    assert worker.wait() == 0
    assert client.job(job_id).status == "completed"
