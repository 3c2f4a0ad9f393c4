"""Which queues there are: how many there may be, who knows of them, and where a job is looked for."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, QueueUnavailable, TooManyQueues
from gopher.jobs.job import new_job_id, queue_hint, with_hint
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.schedule import ScheduleSpec
from gopher.jobs.submission import InvalidBatch
from tests.helpers import wait_until
from tests.seeding import SeedingWorker


@pytest.fixture
def make(redis_url, namespace):
    """Make clients of one installation, each as a process of its own would have it."""
    made = []

    def client(**options):
        made.append(Client(settings=Settings(redis_url=redis_url, namespace=namespace, **options)))
        return made[-1]

    yield client
    for each in made:
        each.close()


def put(client, *queues):
    return client.enqueue_many({"type": "email", "payload": {}, "queue": queue} for queue in queues)


def commands(client):
    return client.server.client.info("stats")["total_commands_processed"]


# How many there may be


def test_a_job_for_one_queue_more_is_refused_with_the_field_and_the_remedy(make):
    client = make(max_queues=2)
    put(client, "a", "b")
    with pytest.raises(TooManyQueues, match="'c'.*2 queues.*raise GOPHER_MAX_QUEUES") as refused:
        client.enqueue("email", {}, queue="c")
    assert (refused.value.code, refused.value.field) == ("too_many_queues", "/queue")
    assert client.server.queues() == ["a", "b"]
    assert not client.server.client.keys(f"{client.settings.namespace}:{{c}}:*")
    # Those that are known go on.
    put(client, "a", "b")


def test_a_batch_is_refused_whole_and_names_each_job_whose_queue_is_too_many(make):
    client = make(max_queues=2)
    put(client, "a")
    with pytest.raises(InvalidBatch) as refused:
        put(client, "a", "b", "c", "b", "c", "d")
    assert refused.value.code == "too_many_queues"
    rows = [(index, error.field, error.code) for index, error in refused.value.errors]
    assert rows == [(index, "/queue", "too_many_queues") for index in (2, 4, 5)]
    assert client.server.queues() == ["a"]
    assert client.stats().total_enqueued == 1


def test_a_batch_of_one_new_queue_is_refused_too(make):
    client = make(max_queues=1)
    put(client, "a")
    with pytest.raises(InvalidBatch) as refused:
        put(client, "b", "b")
    assert [index for index, _ in refused.value.errors] == [0, 1]


def test_a_dry_run_says_so_and_registers_nothing(make):
    client = make(max_queues=1)
    put(client, "a")
    with pytest.raises(TooManyQueues):
        client.dry_run(prepare_fields({"type": "email", "payload": {}, "queue": "b"}))
    assert client.dry_run(prepare_fields({"type": "email", "payload": {}, "queue": "a"})).queue == "a"


def test_schedules_and_pauses_count_as_well(make):
    client = make(max_queues=1)
    put(client, "a")
    spec = ScheduleSpec(cron_expression="0 0 * * *", type="email", payload=msgspec.Raw(b"{}"), queue="b")
    for act in (lambda: client.schedules.put("nightly", spec), lambda: client.flow.pause_queue("b")):
        with pytest.raises(TooManyQueues):
            act()
    assert client.server.queues() == ["a"]


def test_a_queue_that_a_worker_serves_may_always_be_used(make):
    client = make(max_queues=1)
    put(client, "a")
    SeedingWorker(client, "served")
    put(client, "served")
    assert client.server.queues() == ["a", "served"]
    with pytest.raises(TooManyQueues):
        client.enqueue("email", {}, queue="other")


def test_many_processes_at_once_do_not_exceed_it(make):
    clients = [make(max_queues=20) for _ in range(8)]

    def work(number):
        refused = 0
        for at in range(10):
            try:
                put(clients[number], f"q-{number}-{at}")
            except InvalidJob:
                refused += 1
        return refused

    with ThreadPoolExecutor(8) as pool:
        refused = sum(pool.map(work, range(8)))
    assert (len(clients[0].server.queues()), refused) == (20, 60)


# Who knows of them


def test_a_known_queue_costs_nothing(make):
    client = make()
    put(client, "a")

    def cost():
        before = commands(client)
        for _ in range(5):
            client.server.register_queues("a")
        return commands(client) - before

    # The second look itself. A process of another test may use the server meanwhile.
    assert min(cost() for _ in range(5)) == 1


def test_each_process_looks_again_after_a_while(make, monkeypatch):
    monkeypatch.setattr("gopher.queue.names.KNOWN_FOR", 0.2)
    client = make()
    put(client, "a")
    client.server.client.delete(client.server.keys.queues)

    def is_known_again():
        put(client, "a")
        return client.server.queues()

    assert wait_until(is_known_again) == ["a"]


def test_jobs_of_known_queues_are_stored_while_the_names_cannot_be_read(proxy, direct, monkeypatch):
    """In a cluster, the names are on one node, and most queues on others."""
    monkeypatch.setattr("gopher.queue.names.KNOWN_FOR", 0.0)
    with Client(settings=Settings(redis_url=proxy.url, namespace=direct.settings.namespace)) as client:
        put(client, "a")
        proxy.drop()
        (job_id,) = put(client, "a")
        assert client.job(job_id).queue == "a"
        monkeypatch.setattr("gopher.queue.names.PATIENCE", 0.0)
        proxy.drop()
        with pytest.raises(QueueUnavailable):
            put(client, "new")
        monkeypatch.setattr("gopher.queue.names.STILL_KNOWN", 0.0)
        proxy.drop()
        with pytest.raises(QueueUnavailable):
            put(client, "a")


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_the_first_job_of_a_queue_is_repeated_as_others_are(proxy, direct, fault):
    with Client(settings=Settings(redis_url=proxy.url, namespace=direct.settings.namespace)) as client:
        for _ in range(3):
            proxy.drop() if fault == "drop" else proxy.cut(0)
        (job_id,) = put(client, "new")
        assert client.job(job_id).queue == "new"


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_each_step_by_which_a_queue_is_registered_is_repeated(proxy, direct, fault):
    with Client(settings=Settings(redis_url=proxy.url, namespace=direct.settings.namespace)) as client:
        put(client, "loads-the-scripts")
        before = len(proxy.sent)
        put(client, "a")
        steps = len(proxy.sent) - before
        assert steps > 4
        for step in range(steps):
            for _ in range(step):
                proxy.delay(0)
            proxy.drop() if fault == "drop" else proxy.cut(0)
            (job_id,) = put(client, f"queue-{step}")
            assert client.job(job_id).queue == f"queue-{step}"
            assert f"queue-{step}".encode() in direct.client.lrange(direct.keys.newest, 0, 0)


@pytest.mark.parametrize("reply", ["-LOADING Redis is loading the dataset in memory", "-ERR upstream failure"])
def test_jobs_of_known_queues_are_stored_while_reading_the_names_is_refused(proxy, direct, monkeypatch, reply):
    monkeypatch.setattr("gopher.queue.names.KNOWN_FOR", 0.0)
    with Client(settings=Settings(redis_url=proxy.url, namespace=direct.settings.namespace)) as client:
        put(client, "a")
        # The names are read together with the server's mark.
        proxy.answer(f"{reply}\r\n{reply}")
        (job_id,) = put(client, "a")
        assert client.job(job_id).queue == "a"


def test_a_queue_that_is_to_be_forgotten_is_still_found(make):
    client = make()
    (job_id,) = put(client, "a")
    client.server.client.zadd(client.server.keys.leaving, {"a": 1})
    client.server.client.srem(client.server.keys.queues, "a")
    assert client.server.queues() == ["a"]
    assert make().job(job_id).queue == "a"


def test_a_new_queue_has_the_limits_and_pauses_of_the_others(make):
    client = make()
    put(client, "a")
    client.flow.set_limit("email", "10/s", 5, 2)
    client.flow.pause_type("report")
    put(client, "b", "c")
    found = {(view.queue, view.type): (view.rate, view.concurrency, view.paused) for view in client.flow.limits()}
    assert {queue for queue, _ in found} == {"a", "b", "c"}
    assert {found[queue, "email"] for queue in "abc"} == {("10/s", 2, False)}
    assert {found[queue, "report"][2] for queue in "abc"} == {True}
    assert client.server.client.ttl(client.server.keys.for_queue("b").registering) > 0


# Where a job is looked for


def test_ids_of_every_way_to_submit_hint_at_their_queue(make):
    client = make()
    ids = {
        client.enqueue("email", {}, queue="mail"),
        *put(client, "mail", "mail"),
        client.submit_batch([b'{"type":"email","payload":{},"queue":"mail"}'])[0].job_id,
    }
    assert {job_id[-3:] for job_id in ids} == {queue_hint("mail")}
    assert client.enqueue("email", {})[-3:] == queue_hint("default")


def test_jobs_of_a_batch_that_wait_for_others_of_it_name_them_by_their_final_ids(make):
    client = make()
    first, second = client.submit_batch(
        [
            b'{"type":"email","payload":{},"queue":"mail","delay":"1h"}',
            b'{"type":"email","payload":{},"queue":"mail","after":[0]}',
        ]
    )
    record = client.server.client.hget(client.server.keys.for_queue("mail").job(second.job_id), "parents")
    assert record.decode() == first.job_id


def test_a_wrong_hint_is_followed_up_in_every_other_queue(make):
    client = make()
    put(client, *(f"q{number}" for number in range(30)))
    job = client.enqueue("email", {}, queue="q7")
    wrong = with_hint(job, "q20")
    keys = client.server.keys.for_queue("q7")
    client.server.client.rename(keys.job(job), keys.job(wrong))
    for fresh in (client, make()):
        assert fresh.job(wrong).queue == "q7"
        assert fresh.inspector.find(wrong) == "q7"
        assert fresh.inspector.find(new_job_id()) is None
