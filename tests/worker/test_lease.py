"""Workers that die, freeze, or are not heard of in time: their jobs run elsewhere, what they say later is refused."""

import os
import signal
from collections import Counter

import pytest

from tests.helpers import wait_until, wait_until_started

SHORT = {"WORKER_LEASE": "1500ms", "WORKER_POLL_INTERVAL": "500ms"}


def lines(path):
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_all_jobs_complete_when_the_supervisor_is_killed_among_them(client, start_worker, tmp_path):
    ledger = tmp_path / "ledger"
    doomed = start_worker(**SHORT)
    jobs = [{"type": "nap", "payload": {"seconds": 0.02, "ledger": str(ledger)}} for _ in range(99)]
    # One that would run on for a minute if its child outlived the supervisor.
    jobs.insert(5, {"type": "nap_once", "payload": {"first": 60, "ledger": str(tmp_path / "long")}})
    ids = client.enqueue_many(jobs)
    wait_until(lambda: len(lines(ledger)) >= 30)
    doomed.send(signal.SIGKILL)
    assert doomed.wait() == -signal.SIGKILL
    # Its children go with it, although nobody is left to tell them.
    wait_until(lambda: doomed.session() == [], 10)
    start_worker(**SHORT)
    views = [client.wait(job_id, 30) for job_id in ids]
    assert {view.status for view in views} == {"completed"}
    # Only what the dead one had in its hands was begun twice; and each was accepted once.
    assert client.stats().queues["default"].totals["completed"] == 100
    lost = [view for view in views if "lost" in [row.outcome for row in view.history]]
    assert 1 <= len(lost) <= 2 * 16
    assert sum(view.attempts for view in views) == 100 + len(lost)
    assert client.stats().queues["default"].processing == 0


def test_jobs_of_a_dead_worker_are_returned_by_the_scheduler_too(client, start_worker, start_scheduler):
    doomed = start_worker(**SHORT)
    job_id = client.enqueue("nap", {"seconds": 60})
    wait_until_started(job_id)
    start_scheduler(**SHORT)
    doomed.send(signal.SIGKILL)
    view = wait_until(lambda: (view := client.job(job_id)).status == "pending" and view, 20)
    assert [row.outcome for row in view.history] == ["lost"]


def freeze(worker):
    """Stop the whole worker, as a paused virtual machine would."""
    pids = [worker.pid, *worker.children()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def thaw(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_what_a_frozen_worker_says_too_late_is_refused(client, start_worker, tmp_path):
    """Frozen with two jobs, past its lease. When it wakes, one of them has just ended, the other runs on."""
    short, long = tmp_path / "short", tmp_path / "long"
    zombie = start_worker(**SHORT)
    ids = [
        client.enqueue("nap_once", {"first": 15, "ledger": str(short)}, timeout="60s"),
        client.enqueue("nap_once", {"first": 60, "ledger": str(long)}, timeout="60s"),
    ]
    wait_until_started(*ids)
    children = zombie.children()
    before = wait_until(zombie.view).id
    supervisor, *frozen = freeze(zombie)

    other = start_worker(**SHORT)
    views = [client.wait(job_id, 30) for job_id in ids]
    assert [(view.status, view.attempts) for view in views] == [("completed", 2)] * 2
    assert all(f"-{other.pid}-" in view.worker for view in views)

    # The children first, so that there is a result before the supervisor can learn what has happened.
    thaw(*frozen)
    wait_until(lambda: len(lines(short)) == 2)
    thaw(supervisor)
    wait_until(lambda: client.inspector.totals("default").get("stale") == 1)
    wait_until(lambda: "the lease was lost" in zombie.log)
    # The child that runs what others have done by now is killed. It goes on under another id.
    wait_until(lambda: len(now := zombie.children()) == 2 and len(set(now) - set(children)) == 1)
    after = wait_until(lambda: (view := zombie.view()) and view.id != before and view.id)
    assert after.split("-")[-2] == str(zombie.pid)
    views = [client.job(job_id) for job_id in ids]
    assert [(view.status, view.attempts) for view in views] == [("completed", 2)] * 2
    assert len(lines(long)) == 1
    assert client.stats().queues["default"].totals["completed"] == 2

    # And it works: with the other one gone, only it can.
    assert other.stop() == 0
    more = client.enqueue_many({"type": "echo", "payload": {}} for _ in range(50))
    assert Counter(client.wait(job_id, 30).status for job_id in more) == {"completed": 50}
    assert zombie.stop() == 0


def test_a_frozen_child_is_killed_when_its_time_is_over(client, start_worker):
    worker = start_worker(WORKER_CONCURRENCY="1")
    job_id = client.enqueue("nap", {"seconds": 60}, timeout="1s", max_retries=0)
    wait_until_started(job_id)
    os.kill(worker.children()[0], signal.SIGSTOP)
    view = client.wait(job_id, 20)
    assert [row.outcome for row in view.history] == ["timeout"]
    assert client.wait(client.enqueue("echo", {}), 20).status == "completed"


@pytest.mark.parametrize("burners", [6])
def test_heartbeats_continue_while_every_core_is_busy(client, start_worker, start_scheduler, burners):
    # The jobs run for longer than the lease, which is longer than a busy machine lets a process wait for a core.
    environ = {**SHORT, "WORKER_LEASE": "5s"}
    start_scheduler(**environ)
    start_worker(WORKER_CONCURRENCY=str(burners), **environ)
    ids = client.enqueue_many({"type": "burn", "payload": {"seconds": 7}} for _ in range(burners))
    views = [client.wait(job_id, 60) for job_id in ids]
    assert [(view.status, view.attempts) for view in views] == [("completed", 1)] * burners
