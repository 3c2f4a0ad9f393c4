"""How many processes are needed where there are many queues and types, or attempts of very different length."""

from collections import Counter

import msgspec
import pytest

from gopher.queue.arguments import as_usage
from gopher.reads.capacity import hours
from tests.worker.processes import patient_client

from .loads import ran, sampled, shown


@pytest.fixture
def client(redis_url, namespace):
    with patient_client(redis_url, namespace) as client:
        yield client


def test_of_more_queues_than_are_read_the_busiest_ones_count_for_the_hours_of_the_week(client, monkeypatch):
    monkeypatch.setattr(hours, "_QUEUES", 2)
    now = client.inspector.now()
    for queue, jobs in (("a", 2), ("b", 1), ("z", 3)):
        ran(client, 10.0, jobs, queue)
        hourly(client, queue, {"email": 0}, {"email": 3600 * jobs}, now)
    (hour,) = client.capacity().hours
    assert hour.arrivals == 5


def test_types_beyond_those_that_samples_list_have_not_all_arrived_just_now(client):
    names = [f"type{number}" for number in range(50)]
    client.enqueue_many([{"type": name, "payload": {}} for name in names for _ in range(2)])
    client.enqueue("rare", {})
    sampled(client, 100)
    client.enqueue("type7", {})
    (group,) = client.capacity().groups
    arrivals = Counter({each.type: each.arrivals for each in group.types})
    assert arrivals.total() == arrivals["type7"] > 0


def test_a_type_that_enters_the_list_of_an_hour_has_not_arrived_in_that_hour(client):
    ran(client, 10.0)
    listed = {f"type{number}": 10 for number in range(50)}
    hourly(client, "default", listed, listed | {"type7": 3610, "rare": 1_000_000}, client.inspector.now())
    (hour,) = client.capacity().hours
    assert hour.arrivals == 1


def test_cpu_time_of_a_few_long_attempts_does_not_count_for_many_short_ones(client):
    # Half of the time is that of jobs which use a core.
    ran(client, 1.0, 99)
    ran(client, 99.0, 1, usage=as_usage(0.099, 0.0, 0))
    for _ in range(100):
        client.enqueue("email", {})
    shown(client, "one", 5, cores=2)
    (group,) = client.capacity().groups
    assert group.useful_processes == 4
    (of_type,) = group.types
    assert of_type.cpu == pytest.approx(of_type.run / 2)


def hourly(client, queue, before, after, now):
    """Put samples of an hour ago and two, by how many jobs of each type had been submitted."""
    keys, server = client.server.keys.for_queue(queue), client.server.client
    client.server.run(client.server.queue(queue).sample())
    ((data, _),) = server.zrange(keys.timeline(3_600_000), 0, -1, withscores=True)
    server.delete(keys.timeline(3_600_000))
    now = now // 3_600_000 * 3_600_000
    for ago, counts in ((2, before), (1, after)):
        at = now - ago * 3_600_000
        types = {name: {"enqueued": count} for name, count in counts.items()}
        sample = msgspec.msgpack.decode(data) | {"at": at, "types": types}
        server.zadd(keys.timeline(3_600_000), {msgspec.msgpack.encode(sample): at})
