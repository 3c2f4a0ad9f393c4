"""A worker holds after thousands of jobs, many of them bad ones, what it held before; and it rests when it can."""

import os
from contextlib import suppress

import psutil

from tests.helpers import wait_until, wait_until_started


def run(client, jobs):
    done = client.stats().queues["default"].totals if client.stats().queues else {"completed": 0, "failed": 0}
    client.enqueue_many(jobs)
    count = done["completed"] + done["failed"] + len(jobs)
    wait_until(
        lambda: sum(client.stats().queues["default"].totals[name] for name in ("completed", "failed")) >= count, 60
    )


def is_complete(worker):
    """Return whether a worker has both of its children, and nothing else is there."""
    return len(session := worker.session()) == 3 and session == [worker.pid, *worker.children()]


def test_no_descriptor_and_no_process_leaks_over_thousands_of_jobs_and_a_hundred_crashes(client, start_worker):
    worker = start_worker(WORKER_MAX_JOBS_PER_CHILD="300")
    honest = [{"type": "echo", "payload": {"n": number}} for number in range(1500)]
    crash = {"type": "exit", "payload": {}, "max_retries": 0}
    orphan = {"type": "orphan", "payload": {}, "max_retries": 0}
    chat = {"type": "say", "payload": {"n": 1, "way": "program"}}
    run(client, [*honest[:100], *[crash] * 5, *[orphan] * 2])
    wait_until(lambda: is_complete(worker))
    # What comes after that finds the descriptors of all dead children closed.
    run(client, honest[:2])
    before = worker.descriptors()
    bad = [*[crash] * 75, *[orphan] * 25, *[chat] * 50]
    run(client, [*honest, *bad, *honest])
    wait_until(lambda: is_complete(worker))
    wait_until(lambda: worker.descriptors() == before)
    wait_until(lambda: is_complete(worker))


def pipelines_of(pid):
    """Return what the descriptors of a process lead to."""
    pipelines = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        # It may close some meanwhile.
        with suppress(FileNotFoundError):
            pipelines.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return pipelines


def holds_its_own(pid):
    """Return whether a child has as many connections and pipes as it needs."""
    pipelines = pipelines_of(pid)
    counts = [sum(pipeline.startswith(kind) for pipeline in pipelines) for kind in ("socket:", "pipe:")]
    return counts == [1, 3] and not any("epoll" in pipeline for pipeline in pipelines)


def test_a_child_holds_nothing_of_the_supervisors(client, start_worker):
    """No connection, no pipe of another child: just its own channel and its output, at 1 and 2 and beside them."""
    worker = start_worker(WORKER_CONCURRENCY="3")
    run(client, [{"type": "exit", "payload": {}, "max_retries": 0}] * 3)
    wait_until(lambda: len(worker.children()) == 3)
    run(client, [{"type": "echo", "payload": {}}] * 30)
    # One that was forked last may not have closed yet what it has inherited.
    with suppress(AssertionError):
        wait_until(lambda: all(map(holds_its_own, worker.children())), 20)
    sockets = set()
    for pid in worker.children():
        pipelines = pipelines_of(pid)
        sockets.update(mine := [pipeline for pipeline in pipelines if pipeline.startswith("socket:")])
        assert len(mine) == 1, pipelines
        assert len([pipeline for pipeline in pipelines if pipeline.startswith("pipe:")]) == 3, pipelines
        assert not [pipeline for pipeline in pipelines if "epoll" in pipeline], pipelines
    assert len(sockets) == 3


def cpu_of(worker, seconds=1.0):
    process = psutil.Process(worker.pid)
    process.cpu_percent()
    return process.cpu_percent(seconds)


def test_a_worker_rests_while_nothing_is_to_be_done(client, start_worker):
    worker = start_worker()
    run(client, [{"type": "echo", "payload": {}}] * 100)
    assert cpu_of(worker) < 10


def test_a_worker_rests_while_all_of_its_children_are_busy_and_more_waits(client, start_worker):
    worker = start_worker()
    ids = client.enqueue_many([{"type": "nap", "payload": {"seconds": 60}}] * 20)
    wait_until_started(*ids[:2])
    assert cpu_of(worker) < 10


def test_a_worker_rests_while_it_waits_for_its_last_jobs(client, start_worker):
    worker = start_worker()
    ids = client.enqueue_many([{"type": "nap", "payload": {"seconds": 60}}] * 20)
    wait_until_started(*ids[:2])
    worker.send(15)
    wait_until(lambda: '"stopping"' in worker.log)
    assert cpu_of(worker) < 10


def test_a_worker_rests_while_its_queue_is_paused(client, start_worker):
    worker = start_worker()
    run(client, [{"type": "echo", "payload": {}}] * 10)
    client.server.run(client.server.queue("default").pause())
    client.enqueue_many([{"type": "echo", "payload": {}}] * 10)
    assert cpu_of(worker) < 10
