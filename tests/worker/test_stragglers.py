"""Jobs that were given ahead to a child do not wait for a long one."""

import psutil
import pytest

from gopher.client import Client
from tests.helpers import wait_until, wait_until_started


def warm_up(client, count=300):
    """Let a worker see many short jobs, so that it gives its children several at once."""
    ids = client.enqueue_many({"type": "echo", "payload": {"n": number}} for number in range(count))
    wait_until(lambda: client.stats().queues["default"].totals["completed"] >= len(ids), 20)


def test_short_jobs_behind_a_long_one_run_in_another_child(client, start_worker):
    start_worker(WORKER_CONCURRENCY="2")
    warm_up(client)
    ids = client.enqueue_many(
        [{"type": "nap", "payload": {"seconds": 60}}, *({"type": "echo", "payload": {}} for _ in range(100))]
    )
    views = [client.wait(job_id, 30) for job_id in ids[1:]]
    assert {view.status for view in views} == {"completed"}
    assert {view.attempts for view in views} == {1}
    assert client.job(ids[0]).status == "processing"


def test_an_urgent_job_does_not_wait_for_all_that_was_fetched_when_jobs_were_far_shorter(client, start_worker):
    start_worker(WORKER_CONCURRENCY="2")
    warm_up(client)
    naps = client.enqueue_many({"type": "nap", "payload": {"seconds": 0.04}} for _ in range(200))
    wait_until_started(naps[0])
    urgent = client.wait(client.enqueue("echo", {}, priority="high"), 60)
    ended = [client.wait(job_id, 60).finished_at for job_id in naps]
    # They were given 128 at once.
    assert sum(urgent.created_at <= each <= urgent.started_at for each in ended) < 40


def test_the_next_job_is_at_hand_when_a_child_gets_free(client, start_worker):
    start_worker(WORKER_CONCURRENCY="1")
    client.enqueue_many({"type": "nap", "payload": {"seconds": 0.1}} for _ in range(40))
    # The first tells how long they are.
    wait_until(lambda: client.stats().queues["default"].processing == 2)


def test_jobs_are_not_fetched_one_by_one_while_others_are_at_hand(own_server, start_worker):
    with Client(own_server.url) as client:
        start_worker(client, WORKER_CONCURRENCY="2")
        ids = client.enqueue_many({"type": "nap", "payload": {"seconds": 0.05}} for _ in range(40))
        assert {client.wait(job_id, 20).status for job_id in ids} == {"completed"}
        # Each fetch takes what is in `next`, and fills it again from one of three lists: 2 to 4 of these.
        assert client.server.client.info("commandstats")["cmdstat_lmove"]["calls"] < 80


def test_a_job_held_for_a_child_is_taken_back_when_the_child_is_slow(client, start_worker):
    start_worker(WORKER_CONCURRENCY="1")
    ids = client.enqueue_many({"type": "nap", "payload": {"seconds": seconds}} for seconds in (0.1, 0.1, 60, 0.1, 0.1))
    wait_until_started(ids[2])
    wait_until(lambda: client.job(ids[3]).status == "pending")
    start_worker(WORKER_CONCURRENCY="1")
    views = [client.wait(job_id, 30) for job_id in ids[3:]]
    assert {(view.status, view.attempts) for view in views} == {("completed", 1)}
    assert client.job(ids[2]).status == "processing"


@pytest.mark.parametrize("position", [0, 20])
def test_short_jobs_behind_a_long_one_run_in_another_worker(client, start_worker, position):
    busy = start_worker(WORKER_CONCURRENCY="1")
    warm_up(client)
    jobs = [{"type": "echo", "payload": {}} for _ in range(60)]
    jobs.insert(position, {"type": "nap", "payload": {"seconds": 60}})
    ids = client.enqueue_many(jobs)
    wait_until_started(ids[position])
    start_worker(WORKER_CONCURRENCY="1")
    del ids[position]
    views = [client.wait(job_id, 30) for job_id in ids]
    assert {view.status for view in views} == {"completed"}
    # And the one that waits for its child to end does not turn in circles meanwhile.
    before = psutil.Process(busy.pid).cpu_times().user
    psutil.Process(busy.pid).cpu_percent(1.0)
    assert psutil.Process(busy.pid).cpu_times().user - before < 0.3
