"""The scheduler as a process: jobs go when their time has come, once, whoever else is there."""

import signal
import statistics
import time

import psutil
from gopher.scheduler.loop import Scheduler

from gopher.base.times import from_rfc3339, to_rfc3339
from gopher.jobs.handlers import Registry
from tests.helpers import wait_until
from tests.seeding import SeedingWorker


def state(client, job_id, queue="default"):
    return client.inspector.state(queue, job_id)


def test_lets_a_delayed_job_go_when_its_time_has_come(client, start_scheduler):
    start_scheduler()
    begun = time.monotonic()
    job_id = client.enqueue("echo", {}, delay="400ms")
    wait_until(lambda: state(client, job_id) == "pending")
    # The server counts in whole milliseconds.
    assert time.monotonic() - begun > 0.39


def test_lets_a_failed_job_go_again(client, start_scheduler):
    start_scheduler()
    worker = SeedingWorker(client)
    job_id = client.enqueue("echo", {})
    (job,) = worker.fetch()
    begun = time.monotonic()
    # On a busy machine its time may have come before the first look at it.
    worker.retry(job, delay=0.3)
    wait_until(lambda: state(client, job_id) == "pending")
    assert time.monotonic() - begun > 0.29


def test_an_earlier_job_wakes_it(client, start_scheduler):
    start_scheduler()
    later = client.enqueue("echo", {}, delay="1h")
    # Let it fall asleep until then: it looks every five seconds by itself.
    time.sleep(0.5)
    earlier = client.enqueue("echo", {}, delay="200ms")
    wait_until(lambda: state(client, earlier) == "pending", 4)
    assert state(client, later) == "scheduled"


def test_an_alarm_that_comes_during_a_look_at_the_queues_counts_until_the_next_look(client):
    scheduler = Scheduler(client.settings, Registry())
    scheduler._look_and_show(time.monotonic())
    scheduler._look_soon()
    scheduler._take_queues(1, set(), [])
    assert scheduler._learning, "of the queue that was announced"
    scheduler._look_and_show(time.monotonic())
    scheduler._take_queues(1, set(), [])
    assert scheduler._learning
    scheduler._take_queues(2, set(), [])
    assert not scheduler._learning


def test_learns_of_a_new_queue_from_its_first_job(client, start_scheduler):
    start_scheduler()
    client.enqueue("echo", {}, delay="1h")
    time.sleep(0.5)
    for name in ("mails", "reports"):
        job_id = client.enqueue("echo", {}, delay="200ms", queue=name)
        wait_until(lambda job_id=job_id, name=name: state(client, job_id, name) == "pending", 4)


def test_two_at_once_let_each_job_go_once(client, start_scheduler):
    schedulers = [start_scheduler(), start_scheduler()]
    ids = client.enqueue_many({"type": "echo", "payload": {}, "delay": f"{300 + n}ms"} for n in range(500))
    wait_until(lambda: client.stats().queues["default"].waiting == 500)
    fetched = SeedingWorker(client).fetch(600)
    assert sorted(job.id for job in fetched) == sorted(ids)
    # One of them may have let all go before the other one has shown itself.
    wait_until(lambda: client.inspector.schedulers() == 2)
    for scheduler in schedulers:
        assert scheduler.running
        assert "error" not in scheduler.log


def test_many_jobs_due_at_one_instant_all_go(client, start_scheduler):
    """More than one call moves; none is lost between two calls."""
    start_scheduler()
    client.enqueue_many({"type": "echo", "payload": {}, "delay": "300ms"} for _ in range(2500))
    wait_until(lambda: client.stats().queues["default"].waiting == 2500)
    assert client.stats().queues["default"].scheduled == 0


def test_requeues_the_jobs_of_a_lost_worker(client, start_scheduler):
    start_scheduler(WORKER_LEASE="1500ms", WORKER_POLL_INTERVAL="500ms")
    worker = SeedingWorker(client)
    job_id = client.enqueue("echo", {})
    worker.fetch()
    assert state(client, job_id) == "processing"
    # Only now: on a busy machine such a lease may be over before the next call.
    worker.beat(1.0)
    wait_until(lambda: state(client, job_id) == "pending")
    assert [row.outcome for row in client.job(job_id).history] == ["lost"]


def test_lets_go_of_what_is_too_old(client, start_scheduler):
    worker = SeedingWorker(client)
    ids = client.enqueue_many({"type": "echo", "payload": {}, "retention": "100ms"} for _ in range(30))
    kept = client.enqueue("echo", {})
    worker.complete(worker.fetch(31))
    dead = client.enqueue_many({"type": "echo", "payload": {}} for _ in range(20))
    for job in worker.fetch(20):
        worker.dead_letter(job)
        # No two of them at the same millisecond: which is the older one would be anybody's guess.
        time.sleep(0.002)
    wait_until(lambda: state(client, ids[-1]) is None)
    keys = client.server.keys.for_queue("default")
    assert client.server.client.zcard(keys.finished) == 31
    start_scheduler(GOPHER_DEAD_MAX="5")
    wait_until(lambda: client.server.client.zcard(keys.finished) == 1)
    assert state(client, kept) == "completed"
    # The newest dead letters stay.
    wait_until(lambda: client.dead_letters.page().total_count == 5)
    assert {job_id for job_id in dead if state(client, job_id)} == set(dead[-5:])


def test_lets_go_of_dead_letters_that_are_too_old(client, start_scheduler):
    worker = SeedingWorker(client)
    client.enqueue_many({"type": "echo", "payload": {}} for _ in range(3))
    for job in worker.fetch(3):
        worker.dead_letter(job)
    time.sleep(0.1)
    start_scheduler(GOPHER_DEAD_TTL="50ms")
    wait_until(lambda: client.dead_letters.page().total_count == 0)


def test_retries_dead_letters_once_the_first_ones_have_completed_and_continues_after_its_death(client, start_scheduler):
    worker = SeedingWorker(client)
    ids = client.enqueue_many({"type": "echo", "payload": {}} for _ in range(8))
    for job in worker.fetch(8):
        worker.dead_letter(job)
    doomed = start_scheduler()
    wait_until(lambda: client.inspector.schedulers() == 1)
    _, count = client.dead_letters.retry_gradually(canary=2, rate="20/s")
    assert count == 8
    wait_until(lambda: client.stats().queue_size == 2)
    worker.complete(worker.fetch(8))
    doomed.send(signal.SIGKILL)
    doomed.wait()
    start_scheduler()
    wait_until(lambda: client.dead_letters.redrives()[0].status == "finished")
    assert (client.dead_letters.redrives()[0].retried, client.stats().queue_size) == (8, 6)
    assert {state(client, job_id) for job_id in ids} == {"completed", "pending"}


def test_leaves_with_0_when_told_and_disappears_at_once(client, start_scheduler):
    for number in (signal.SIGTERM, signal.SIGINT):
        scheduler = start_scheduler()
        wait_until(lambda: client.inspector.schedulers() == 1)
        begun = time.monotonic()
        scheduler.send(number)
        assert scheduler.wait() == 0
        assert time.monotonic() - begun < 10
        assert client.inspector.schedulers() == 0


def test_sleeps_while_nothing_is_due(client, start_scheduler):
    scheduler = start_scheduler()
    for name in ("a", "b", "c"):
        client.enqueue("echo", {}, delay="1h", queue=name)
    time.sleep(0.3)
    process = psutil.Process(scheduler.pid)
    process.cpu_percent()
    assert process.cpu_percent(1.0) < 20


def test_continues_after_the_server_was_unavailable(start_scheduler, own_server, own_client):
    scheduler = start_scheduler(own_client)
    ids = own_client.enqueue_many({"type": "echo", "payload": {}, "delay": f"{number}ms"} for number in (300, 1800))
    own_server.kill()
    process = psutil.Process(scheduler.pid)
    process.cpu_percent()
    assert process.cpu_percent(1.0) < 10
    own_server.start()
    for job_id in ids:
        wait_until(lambda job_id=job_id: state(own_client, job_id) == "pending")
    assert scheduler.stop() == 0


def test_delayed_jobs_start_when_they_are_due(client, start_scheduler, start_worker):
    """Generous, since the machine may be busy: what is fast is measured by the benchmark."""
    start_scheduler()
    start_worker()
    first = client.inspector.now() + 500
    # Not by a delay: when such a job was due is told only until it has gone.
    due = [to_rfc3339(first + 30 * n) for n in range(50)]
    ids = client.enqueue_many({"type": "echo", "payload": {}, "execute_at": when} for when in due)
    late = []
    for job_id, when in zip(ids, due, strict=True):
        view = client.wait(job_id, 30)
        assert view.status == "completed"
        late.append(from_rfc3339(view.started_at) - from_rfc3339(when))
    assert min(late) >= 0
    print(f"late by {statistics.median(late)} ms (median of 50)")  # noqa: T201 - shown with -rP
    assert statistics.median(late) < 2000


def test_new_jobs_on_an_idle_system_start_soon(client, start_worker):
    """Not at the next look of the worker, which comes after a minute here, but at once."""
    start_worker(WORKER_POLL_INTERVAL="60s", WORKER_LEASE="200s")
    took = []
    for _ in range(50):
        begun = time.perf_counter()
        view = client.wait(client.enqueue("echo", {}), 30)
        took.append((time.perf_counter() - begun) * 1000)
        assert view.status == "completed"
    print(f"done after {statistics.median(took):.1f} ms (median of 50)")  # noqa: T201 - shown with -rP
    assert statistics.median(took) < 5000
