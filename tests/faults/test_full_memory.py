"""More jobs than the server has memory for go through it: none is refused while a worker keeps up."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from gopher.server.embedded import EmbeddedServer
from tests.helpers import wait_until
from tests.seeding import SeedingWorker
from tests.worker.processes import Process, Scheduler, Worker, patient_client

#: Jobs submitted in one call, and how many may wait at most: the worker keeps up.
BULK, MOST_WAITING = 500, 2_000


@pytest.fixture
def folder():
    folder = Path(tempfile.mkdtemp(prefix="gopher-full-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def bury(client, count):
    """Leave dead letters there; return their ids."""
    ids = []
    worker = SeedingWorker(client)
    for _ in range(count // 100):
        ids += client.enqueue_many({"type": "bench_noop", "payload": {}} for _ in range(100))
        # On a busy machine all of them may take longer than its lease.
        worker.beat()
        for job in worker.fetch(100):
            worker.dead_letter(job)
    client.server.run(worker.queue.resign(worker.name))
    return ids


def waiting(client):
    return sum(
        client.server.client.llen(client.server.keys.for_queue("default").pending(name)) for name in ("normal", "high")
    )


def totals(client):
    return client.inspector.totals("default")


def used_memory(client):
    """Return the share of the memory that is used."""
    info = client.server.client.info("memory")
    return (info["used_memory"] - info["mem_not_counted_for_evict"]) / info["maxmemory"]


@dataclass
class Outcome:
    """What is there in the end."""

    buried: list[str]
    dead: list[str]
    finished: int
    evicted: int


def look(client, buried, scheduled):
    keys = client.server.keys.for_queue("default")
    # At one moment where a scheduler goes on. (A server that is full refuses that.)
    pipe = client.server.client.pipeline(transaction=scheduled)
    pipe.zrange(keys.failed, 0, -1).zcard(keys.finished).hget(keys.totals, "evicted")
    dead, finished, evicted = pipe.execute()
    return Outcome(buried, [job_id.decode() for job_id in dead], finished, int(evicted))


def push_through(folder, *, megabytes, jobs, dead, scheduled):
    """Send jobs through a server that is too small for all of their records. A refusal is an error."""
    options = {"appendonly": "no", "maxmemory": f"{megabytes}mb"}
    processes: list[Process] = []
    with EmbeddedServer(folder / "server", options=options) as server, patient_client(server.url) as client:
        letters = bury(client, dead)
        try:
            processes.append(Worker(client, folder, GOPHER_HANDLERS="gopher.cli.bench_handlers"))
            if scheduled:
                processes.append(Scheduler(client, folder))
            for _ in range(0, jobs, BULK):
                client.enqueue_many({"type": "bench_noop", "payload": {}} for _ in range(BULK))
                wait_until(lambda: waiting(client) < MOST_WAITING, 120, "the worker to keep up")
            done = "completed:bench_noop"
            wait_until(lambda: totals(client).get(done) == jobs, 120, "all jobs to be done")
            if scheduled:
                wait_until(lambda: used_memory(client) < 0.9, 120, "the scheduler to keep below nine tenths")
            return look(client, letters, scheduled)
        finally:
            for process in processes:
                process.destroy()


@pytest.mark.parametrize("scheduled", [True, False])
def test_more_jobs_than_fit_go_through_a_small_server(folder, scheduled):
    outcome = push_through(folder, megabytes=6, jobs=20_000, dead=300, scheduled=scheduled)
    assert sorted(outcome.dead) == sorted(outcome.buried)
    assert outcome.evicted + outcome.finished == 20_000
    assert outcome.finished > 1000


@pytest.mark.deep
def test_400_000_jobs_go_through_a_server_of_100_megabytes_with_20_000_dead_letters(folder):
    outcome = push_through(folder, megabytes=100, jobs=400_000, dead=20_000, scheduled=True)
    assert sorted(outcome.dead) == sorted(outcome.buried)
    assert outcome.evicted + outcome.finished == 400_000
