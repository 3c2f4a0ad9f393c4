"""How many processes are needed for jobs that a pause or a limit keeps from starting."""

import pytest

from gopher.jobs.models import ChildView
from tests.seeding import SeedingWorker
from tests.worker.processes import patient_client

from .loads import ran, sampled, shown


@pytest.fixture
def client(redis_url, namespace):
    with patient_client(redis_url, namespace) as client:
        yield client


@pytest.fixture
def arriving(client):
    """A client of a queue to which five jobs come per second, of 5 s each, and which a worker serves."""
    ran(client, 5000.0, 20)
    sampled(client, 100)
    shown(client, "one", 5, cores=5)
    enqueued(client, 500)
    return client


def enqueued(client, count, job_type="email", queue="default", **more):
    client.enqueue_many([{"type": job_type, "payload": {}, "queue": queue, **more}] * count)


def parked(client, looks=100, queue="default"):
    """Let a worker fetch, which throttles what may not start; what it got is running."""
    worker = SeedingWorker(client, queue)
    return [job for _ in range(looks) for job in worker.fetch(10)]


def only_group(client, within=None):
    (group,) = client.capacity(within).groups
    return group


def test_jobs_that_come_to_a_paused_queue_need_no_process(arriving):
    assert only_group(arriving).needed_processes > 20
    arriving.flow.pause_queue("default")
    found = arriving.capacity()
    assert (found.needed_processes, found.needed_workers, found.scale_to) == (0, 0, 0)


def test_jobs_that_come_of_a_paused_type_need_no_process_and_others_do(arriving):
    ran(arriving, 10.0, 1, job_type="mail")
    arriving.flow.pause_type("email")
    # Before a worker has looked at them, and after it has put them aside.
    assert only_group(arriving).needed_processes == 1
    parked(arriving)
    group = only_group(arriving)
    assert group.needed_processes == 1
    assert [each.type for each in group.types] == ["mail"]


def test_as_many_jobs_of_a_limited_type_count_as_its_rate_lets_start(arriving):
    arriving.flow.set_limit("email", "1/s", 1, None)
    assert 5 <= only_group(arriving).needed_processes <= 6
    parked(arriving)
    group = only_group(arriving)
    assert group.arrivals == 1
    assert 5 <= group.needed_processes <= 6
    arriving.flow.set_limit("email", "0/s", None, None)
    assert only_group(arriving).needed_processes == 0


def test_throttled_jobs_count_as_they_come_when_no_others_arrive_any_more(client):
    ran(client, 5000.0, 20)
    client.flow.set_limit("email", "1/s", 1, None)
    enqueued(client, 500)
    parked(client)
    sampled(client, 120)
    shown(client, "one", 5, cores=5)
    assert 5 <= only_group(client).needed_processes <= 6


def test_a_limited_type_needs_no_more_processes_than_its_concurrency(arriving):
    arriving.flow.set_limit("email", None, None, 3)
    assert 3 <= only_group(arriving).needed_processes <= 4
    running = parked(arriving)
    assert len(running) == 3
    since = arriving.health().timestamp
    shown(arriving, "one", [ChildView(pid, 0, 0, job.id, "email", since) for pid, job in enumerate(running)])
    assert 3 <= only_group(arriving).needed_processes <= 4


def test_as_many_jobs_with_limited_keys_count_as_have_started(arriving):
    arriving.flow.set_limit("email", "1/s", 1, None, per_key=True)
    parked(arriving)
    group = only_group(arriving)
    # None but the first one has.
    assert group.arrivals < 0.1
    assert group.needed_processes == 1


def test_jobs_of_tenants_that_have_reached_their_limit_need_no_process(client):
    ran(client, 5000.0, 20)
    client.flow.set_tenant("acme", concurrency=1)
    sampled(client, 100)
    shown(client, "one", 5, cores=5)
    enqueued(client, 500, tenant="acme")
    parked(client, 3)
    group = only_group(client)
    assert group.waiting == 0
    assert group.needed_processes == 1


def test_a_type_that_a_service_throttles_counts_again_before_that_ends(arriving):
    worker = SeedingWorker(arriving)
    (job,) = worker.fetch()
    worker.throttle(job, 300.0, "type")
    assert only_group(arriving).needed_processes == 0
    assert only_group(arriving, "10m").needed_processes > 0


def test_old_jobs_that_are_paused_make_others_no_more_urgent(client):
    ran(client, 1000.0, 20)
    ran(client, 1000.0, 20, "mail")
    enqueued(client, 1000, queue="mail")
    shown(client, "one", 2, ("default", "mail"), cores=2)
    _age(client, "mail", 3600)
    client.flow.pause_queue("mail")
    enqueued(client, 50)
    group = only_group(client, "10m")
    assert (group.waiting, group.needed_processes) == (50, 1)
    assert group.oldest_waiting_age < 60


def test_old_jobs_of_a_paused_type_make_others_of_its_queue_no_more_urgent(client):
    ran(client, 1000.0, 20)
    ran(client, 1000.0, 20, job_type="mail")
    shown(client, "one", 2, cores=2)
    enqueued(client, 100, "mail")
    _age(client, "default", 3600)
    client.flow.pause_type("mail")
    enqueued(client, 50)
    for _ in range(2):
        group = only_group(client, "10m")
        assert group.needed_processes == 1
        assert group.oldest_waiting_age < 60
        # And when a worker has put them aside.
        parked(client, 1)


def _age(client, queue, seconds):
    """Let the jobs of a queue have waited for longer."""
    keys, server = client.server.keys.for_queue(queue), client.server.client
    since = client.inspector.now() - seconds * 1000
    for job_id in server.lrange(keys.pending("normal"), 0, -1) + server.lrange(keys.next, 0, -1):
        server.hset(keys.job(job_id.decode()), "since", since)
