"""Children are replaced: after so many jobs, over so much memory, when they die by themselves."""

import os
import signal
import time
from contextlib import suppress

from tests.helpers import wait_until
from tests.worker.processes import result_of


def pids_of(client, count, job_type="pid", **payload):
    ids = client.enqueue_many({"type": job_type, "payload": payload} for _ in range(count))
    views = [client.wait(job_id, 20) for job_id in ids]
    assert {view.status for view in views} == {"completed"}
    assert {view.attempts for view in views} == {1}
    return [result_of(view) for view in views]


def test_a_child_is_replaced_after_its_maximum_number_of_jobs(client, start_worker):
    start_worker(WORKER_CONCURRENCY="1", WORKER_MAX_JOBS_PER_CHILD="7")
    pids = pids_of(client, 70)
    assert {pids.count(pid) for pid in pids} == {7}


def test_children_are_not_all_replaced_at_once(client, start_worker):
    """With 100 jobs a child, each of them may have up to ten fewer."""
    start_worker(WORKER_CONCURRENCY="1", WORKER_MAX_JOBS_PER_CHILD="100")
    pids = pids_of(client, 1000)
    lives = [pids.count(pid) for pid in dict.fromkeys(pids)][:-1]
    assert len(lives) >= 9
    assert all(90 <= life <= 100 for life in lives)
    assert len(set(lives)) > 1


def test_a_child_is_replaced_when_it_has_grown_too_large(client, start_worker):
    start_worker(WORKER_CONCURRENCY="1", WORKER_MAX_RSS_PER_CHILD="150MiB")
    small = pids_of(client, 20)
    assert len(set(small)) == 1
    # 40 MB that stay: after a few of them the child is over the limit. One at a time: others would be in its hands.
    large = [pids_of(client, 1, "hoard", megabytes=40)[0] for _ in range(8)]
    assert max(large.count(pid) for pid in large) <= 4


def test_a_child_that_dies_while_it_is_idle_is_replaced_and_no_job_is_hurt(client, start_worker):
    worker = start_worker()
    for _ in range(5):
        before = worker.children()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda before=before: len(now := worker.children()) == 2 and before[0] not in now)
        pids_of(client, 10)


def test_children_that_are_killed_at_random_lose_no_job(client, start_worker):
    """Only what ran in a killed child has crashed; what waited behind it in its hands has not even begun."""
    worker = start_worker(WORKER_MAX_CRASHES="1")
    ids = client.enqueue_many({"type": "nap", "payload": {"seconds": 0.001}} for _ in range(1000))
    kills, deadline = 0, time.monotonic() + 20

    def goes_on():
        return client.inspector.totals("default").get("dequeued:nap:normal", 0) < 900

    # Once at least, although this process may have had no processor until they were through.
    while not kills or (time.monotonic() < deadline and goes_on()):
        for pid in worker.children()[:1]:
            # It may be the one before, which was about to die.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
        wait_until(lambda: len(worker.children()) == 2)

    def ended():
        totals = client.stats().queues["default"].totals
        return totals["completed"] + totals["failed"] == len(ids)

    wait_until(ended)
    views = [client.job(job_id) for job_id in ids]
    states = [view.status for view in views]
    assert kills >= 1
    assert states.count("failed") <= kills
    assert {view.attempts for view in views} == {1}
    assert worker.running
