"""Gives queues a load: workers that are shown, jobs that have run, and samples of the counters from earlier."""

import msgspec

from gopher.jobs.models import ChildView, WorkerView
from gopher.queue.arguments import Completion
from gopher.queue.presence import show_worker
from tests.seeding import SeedingWorker

_NOW = "2026-01-01T00:00:00Z"


def shown(client, name, children, queues=("default",), types=("email",), **more):
    """Publish the record of a worker with N idle children, or these ones."""
    children = [ChildView(pid, 0, 0) for pid in range(children)] if isinstance(children, int) else children
    view = WorkerView(name, "here", 1, "1", list(queues), list(types), children, 0, 0, _NOW, _NOW, **more)
    for command in show_worker(client.server.keys, name, msgspec.json.encode(view), client.inspector.now(), 60.0):
        client.server.client.execute_command(*command.words)


def ran(client, milliseconds, count=1, queue="default", job_type="email", usage=None):
    """Let jobs run, each for so long."""
    worker = SeedingWorker(client, queue)
    for _ in range(count):
        client.enqueue(job_type, {}, queue=queue)
    jobs = worker.fetch(count)
    done = [Completion(job.id, job.token, milliseconds, b"1", b"", usage) for job in jobs]
    # A call whose reply is late is repeated.
    assert set(client.server.run(worker.queue.complete(worker.name, done))) <= {"OK", "ALREADY"}


def sampled(client, ago, queue="default"):
    """Sample the counters now, as if that had been some seconds ago."""
    keys, server = client.server.keys.for_queue(queue), client.server.client
    client.server.run(client.server.queue(queue).sample())
    ((data, slot),) = server.zrange(keys.timeline(10_000), -1, -1, withscores=True)
    sample = msgspec.msgpack.decode(data)
    server.zrem(keys.timeline(10_000), data)
    server.zadd(
        keys.timeline(10_000), {msgspec.msgpack.encode(sample | {"at": sample["at"] - ago * 1000}): slot - ago * 1000}
    )
