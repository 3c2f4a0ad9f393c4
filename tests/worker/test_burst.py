"""Burst mode: a worker that ends once nothing waits."""

from datetime import datetime

from tests.worker.processes import QUICK, Process, where

BURST = {**QUICK, "WORKER_BURST": "1", "GOPHER_HANDLERS": "tests.monsters"}


def test_a_worker_in_burst_mode_runs_what_waits_and_ends_although_jobs_are_due_later(client, tmp_path, started):
    done = [client.enqueue("echo", {"n": number}, queue=queue) for number in range(4) for queue in ("one", "two")]
    child = client.enqueue("echo", {}, queue="one", after=[done[0]])
    client.flow.set_limit("echo", "200/s", 1, None)
    later = client.enqueue("echo", {}, queue="one", delay="1h")
    process = Process("worker", {**where(client), **BURST, "WORKER_QUEUES": "one,two"}, tmp_path)
    started.append(process)
    assert process.wait(30) == 0
    assert {client.job(job_id).status for job_id in (*done, child)} == {"completed"}
    assert client.job(later).status == "scheduled"
    assert "no job is waiting: stopping" in process.log


def test_it_looks_again_when_throttled_jobs_may_start_and_not_once_a_second(client, tmp_path, started):
    client.enqueue_many({"type": "echo", "payload": {"n": number}} for number in range(41))
    client.flow.set_limit("echo", "100/s", 1, None)
    process = Process("worker", {**where(client), **BURST}, tmp_path)
    started.append(process)
    assert process.wait(60) == 0
    assert client.stats().queues["default"].totals["completed"] == 41
    # At 100/s they take 0.4 s; with a look a second there were 16 of them, each with a job or a few.
    starts = [job.started_at for job in client.jobs(limit=50).jobs]
    spent = datetime.fromisoformat(max(starts)) - datetime.fromisoformat(min(starts))
    assert spent.total_seconds() < 10


def test_it_exits_with_1_if_jobs_became_dead_letters(client, tmp_path, started):
    dead = client.enqueue("segfault", {})
    process = Process("worker", {**where(client), **BURST}, tmp_path)
    started.append(process)
    assert process.wait(30) == 1
    assert client.job(dead).status == "failed"
    assert '"dead_letters": 1' in process.log
