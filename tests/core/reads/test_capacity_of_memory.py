"""How many workers are needed for jobs that memory keeps from running beside others."""

import pytest

from gopher.jobs.models import ChildView, WorkerMemory
from gopher.queue.arguments import as_usage
from tests.seeding import SeedingWorker
from tests.worker.processes import patient_client

from .loads import ran, shown

_MIB = 2**20


@pytest.fixture
def client(redis_url, namespace):
    with patient_client(redis_url, namespace) as client:
        yield client


def memory(held=(), **needs):
    """What a worker says that has 1,000 MiB for jobs."""
    return WorkerMemory(1200 * _MIB, 1000 * _MIB, 0, 0, list(held), {name: n * _MIB for name, n in needs.items()})


def only_group(client):
    (group,) = client.capacity().groups
    return group


def test_jobs_that_a_worker_holds_until_there_is_memory_are_waiting(client):
    ran(client, 60_000.0, 5)
    for _ in range(8):
        client.enqueue("email", {})
    # Four are of another queue.
    for _ in range(4):
        client.enqueue("email", {}, queue="mail")
    first, *held = SeedingWorker(client).fetch(8)
    held += SeedingWorker(client, "mail").fetch(4)
    idle = [ChildView(pid, 0, 0) for pid in range(3)]
    children = [ChildView(9, 0, 0, first.id, "email", client.health().timestamp), *idle]
    ids = [job.id for job in held]
    shown(client, "seeder-1-abc", children, ("default", "mail"), cores=4, admission=memory(ids, email=600))
    group = only_group(client)
    assert (group.waiting, group.running, group.types[0].waiting) == (11, 1, 11)
    assert group.needed_processes >= 11
    # One at a time fits into a worker.
    assert (group.useful_processes, group.needed_workers) == (1, group.needed_processes)
    assert "1 of the 4 processes of a worker can work at a time: their jobs use all of its memory for jobs" in group.why
    assert client.capacity(queue="mail").groups[0].waiting == 4


def test_a_job_that_a_worker_no_longer_has_is_not_waiting_for_its_memory(client):
    client.enqueue("email", {})
    worker = SeedingWorker(client)
    (job,) = worker.fetch()
    shown(client, worker.name, 2, admission=memory([job.id]))
    assert only_group(client).waiting == 1
    worker.complete([job])
    assert [group.waiting for group in client.capacity().groups] == [0]


def test_of_a_worker_as_many_processes_count_as_there_is_memory_for_on_average(client):
    ran(client, 1000.0, 20)
    for _ in range(100):
        client.enqueue("email", {})
    shown(client, "one", 4, cores=4, admission=memory(email=400))
    assert only_group(client).useful_processes == 2
    shown(client, "one", 4, cores=4, admission=memory(mail=400))
    assert only_group(client).useful_processes == 4
    # Another one starts jobs whatever they need.
    shown(client, "one", 4, cores=4, admission=memory(email=1400))
    shown(client, "two", 4, cores=4)
    assert only_group(client).useful_processes == 2.5


def test_jobs_with_small_files_take_less_memory_than_the_largest_of_their_type(client):
    ran(client, 1000.0, 20, usage=as_usage(0.1, 0.0, 500 * _MIB, 3))
    for _ in range(100):
        client.enqueue("email", {})
    shown(client, "one", 4, cores=4, admission=memory(**{"email": 900, "email/3": 500, "email/9": 900}))
    assert only_group(client).useful_processes == 2
