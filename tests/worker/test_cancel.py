"""Cancelling: a waiting job at once, a running one by an exception, one that does not listen by a kill."""

import os
import signal

import pytest

from gopher.errors import JobConflict
from tests.helpers import wait_until, wait_until_started
from tests.worker.processes import result_of


@pytest.fixture(scope="module")
def client(shared):
    return shared.client


def running(client, job_type, payload=None):
    job_id = client.enqueue(job_type, payload or {}, timeout="60s")
    wait_until_started(job_id)
    return job_id


def test_a_handler_that_listens_sees_that_it_is_cancelled(client, tmp_path):
    mark = tmp_path / "mark"
    job_id = running(client, "patient", {"mark": str(mark)})
    assert client.cancel(job_id) == "processing"
    view = client.wait(job_id, 20)
    assert (view.status, [row.outcome for row in view.history]) == ("cancelled", ["cancelled"])
    assert mark.read_text() == "Cancelled cancelled=True"


def test_a_handler_may_ask_whether_it_is_cancelled_and_end_by_itself(client):
    """It catches the exception, asks, and returns: then it has completed."""
    job_id = running(client, "finishes_up")
    client.cancel(job_id)
    view = client.wait(job_id, 20)
    assert view.status == "completed"
    assert result_of(view) == {"cancelled": True}


@pytest.mark.parametrize("monster", ["hang_in_c", "swallow"])
def test_a_handler_that_does_not_listen_is_killed_after_the_grace(shared, client, monster):
    job_id = running(client, monster)
    children = shared.children()
    client.cancel(job_id)
    assert client.wait(job_id, 20).status == "cancelled"
    wait_until(lambda: len(shared.children()) == 2)
    assert len(set(shared.children()) - set(children)) == 1


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(client, tmp_path):
    ledger = tmp_path / "ledger"
    blockers = [running(client, "nap", {"seconds": 60}) for _ in range(2)]
    waiting = client.enqueue("nap", {"seconds": 0, "ledger": str(ledger)})
    assert client.cancel(waiting) == "cancelled"
    assert client.job(waiting).status == "cancelled"
    for blocker in blockers:
        client.cancel(blocker)
        assert client.wait(blocker, 20).status == "cancelled"
    assert client.wait(client.enqueue("echo", {}), 20).status == "completed"
    assert not ledger.exists()


@pytest.mark.parametrize("options", [{"delay": "1h"}, {"max_retries": 5}])
def test_a_job_that_waits_for_its_time_is_cancelled_at_once(client, options):
    job_id = client.enqueue("flaky", {"succeed_at": 9, "after": "1h"}, **options)
    wait_until(lambda: client.job(job_id).status in ("scheduled", "retrying"))
    assert client.cancel(job_id) == "cancelled"
    assert client.job(job_id).status == "cancelled"


def test_a_job_that_has_ended_can_not_be_cancelled(client):
    job_id = client.enqueue("echo", {})
    client.wait(job_id, 20)
    with pytest.raises(JobConflict):
        client.cancel(job_id)


def test_the_next_job_of_that_child_is_not_interrupted(client):
    """The signal for one job may come when the child runs another."""
    for _ in range(2):
        job_id = running(client, "patient", {"mark": "/dev/null"})
        ids = client.enqueue_many({"type": "nap", "payload": {"seconds": 0.01}} for _ in range(20))
        client.cancel(job_id)
        assert {client.wait(each, 20).status for each in ids} == {"completed"}
        assert client.wait(job_id, 20).status == "cancelled"


def test_a_signal_that_comes_late_interrupts_no_other_job(shared, client):
    """Its reason still stands where the child looks; but the job that is meant is over."""
    jobs = [running(client, "patient", {"mark": "/dev/null"}) for _ in range(2)]
    for job_id in jobs:
        client.cancel(job_id)
    assert [client.wait(job_id, 20).status for job_id in jobs] == ["cancelled"] * 2
    others = [running(client, "finishes_up_after", {"seconds": 0.3}) for _ in range(2)]
    for child in shared.children():
        os.kill(child, signal.SIGUSR1)
    assert [result_of(client.wait(job_id, 20)) for job_id in others] == [{"cancelled": False}] * 2


def test_cancelling_as_jobs_end_leaves_each_either_completed_or_cancelled(client):
    ids = client.enqueue_many({"type": "nap", "payload": {"seconds": 0.002}} for _ in range(200))
    asked = set()
    for job_id in ids:
        try:
            client.cancel(job_id)
            asked.add(job_id)
        except JobConflict:
            pass
    views = [client.wait(job_id, 10) for job_id in ids]
    assert {view.status for view in views} <= {"completed", "cancelled"}
    assert {view.job_id for view in views if view.status == "cancelled"} <= asked
