"""Gopher from Python: submitting, waiting, cancelling, purging."""

import threading
import time

import msgspec
import pytest

from gopher import client as client_module
from gopher.client import Client, Stored
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, JobConflict, JobNotFound, QueueUnavailable
from gopher.jobs.job import NewJob, new_job_id
from gopher.jobs.prepare import prepare
from gopher.jobs.submission import parse
from gopher.queue.idempotency import IdempotencyMismatch, request_for
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def worker(client):
    client.server.register_queues("default")
    return SeedingWorker(client)


def mails(count, **options):
    return ({"type": "email", "payload": {"n": number}, **options} for number in range(count))


def jobs(count):
    return [prepare(parse(b'{"type":"email","payload":{}}')) for _ in range(count)]


# Submitting


def test_a_job_is_stored_under_the_id_that_is_returned(client):
    job_id = client.enqueue("email", {"to": "x"}, priority="low")
    assert client.job(job_id).priority == "low"
    assert msgspec.json.decode(client.job(job_id).payload) == {"to": "x"}


def test_a_payload_that_is_json_already_is_kept_as_it_is(client):
    job_id = client.enqueue("email", msgspec.Raw(b'{ "n": 9007199254740993 }'))
    assert bytes(client.job(job_id).payload) == b'{ "n": 9007199254740993 }'


@pytest.mark.parametrize(
    ("payload", "options", "field"),
    [
        ({"f": object()}, {}, "/payload"),
        ({}, {"metadata": {"f": object()}}, "/metadata"),
        ({}, {"priority": "urgent"}, "/priority"),
        ({}, {"delay": "soon"}, "/delay"),
    ],
)
def test_an_invalid_job_is_refused_and_nothing_is_stored(client, payload, options, field):
    with pytest.raises(InvalidJob) as caught:
        client.enqueue("email", payload, **options)
    assert caught.value.field == field
    assert client.stats().total_enqueued == 0


def test_an_option_that_does_not_exist_is_refused(client):
    with pytest.raises(InvalidJob, match="priorty"):
        client.enqueue("email", {}, priorty="high")


def test_many_are_stored_in_their_order(client, worker):
    ids = client.enqueue_many(mails(50))
    assert [job.id for job in worker.fetch(50)] == ids


def test_any_number_is_streamed_in_pieces(client, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_BATCH", 20)
    monkeypatch.setattr(client_module, "_BULK", 7)
    taken = []

    def stream():
        for number, mail in enumerate(mails(50)):
            taken.append(number)
            yield mail

    ids = client.enqueue_many(stream())
    assert len(set(ids)) == 50
    assert client.stats().queue_size == 50


def test_up_to_ten_thousand_go_together_or_not_at_all(client):
    with pytest.raises(InvalidJob):
        client.enqueue_many([*mails(5), {"type": "email", "payload": {}, "priority": "urgent"}])
    assert client.stats().total_enqueued == 0


def test_none_at_all_is_fine(client):
    assert client.enqueue_many([]) == []


def test_jobs_of_several_queues_are_answered_in_their_order(client):
    queues = ["mail", "default", "mail", "other"]
    ids = client.enqueue_many({"type": "email", "payload": {}, "queue": queue} for queue in queues)
    assert [client.job(job_id).queue for job_id in ids] == queues


def test_a_second_job_with_a_unique_key_returns_the_first(client):
    first = client.enqueue("email", {}, unique_key="user:1")
    assert client.enqueue("email", {}, unique_key="user:1") == first
    job = prepare(parse(b'{"type":"email","payload":{},"unique_key":"user:1"}'))
    assert client.store([job]) == [Stored(first, duplicate=True, status="pending", priority="normal")]


def test_a_job_can_not_wait_for_one_that_does_not_exist(client):
    with pytest.raises(InvalidJob, match="to wait for") as caught:
        client.enqueue("email", {}, after=[new_job_id()])
    assert caught.value.field == "/after"


def test_an_unavailable_server_is_reported_in_time(namespace):
    with Client("unix:///nowhere/server.sock", namespace=namespace) as client:
        start = time.monotonic()
        with pytest.raises(QueueUnavailable):
            client.store([NewJob(new_job_id(), "email", b"{}")], patience=0.2)
        assert time.monotonic() - start < 10.0


# Requests that may be repeated


def test_a_repeated_request_is_answered_as_the_first_one_was(client):
    first = client.store(jobs(3), request=request_for("key", b"body", 1000))
    again = client.store(jobs(3), request=request_for("key", b"body", 2000))
    assert [stored.job_id for stored in again] == [stored.job_id for stored in first]
    assert not any(stored.replayed for stored in first)
    assert all(stored.replayed for stored in again)
    assert client.stats().queue_size == 3


def test_a_request_over_several_queues_is_repeated_as_a_whole(client):
    def batch():
        return [msgspec.structs.replace(job, queue=queue) for job, queue in zip(jobs(3), "aba", strict=True)]

    first = client.store(batch(), request=request_for("key", b"body", 1000))
    again = client.store(batch(), request=request_for("key", b"body", 2000))
    assert [stored.job_id for stored in again] == [stored.job_id for stored in first]
    assert client.stats().queue_size == 3


def test_a_request_that_reached_only_one_of_its_queues_is_completed_by_its_repeat(client):
    def batch():
        return [msgspec.structs.replace(job, queue=queue) for job, queue in zip(jobs(2), "ab", strict=True)]

    request = request_for("key", b"body", 1000)
    (only,) = client.store(batch()[:1], request=request)
    first, second = client.store(batch(), request=request_for("key", b"body", 2000))
    assert first.job_id == only.job_id
    assert client.stats().queue_size == 2
    assert client.job(second.job_id).queue == "b"


def test_another_request_under_a_known_key_is_refused(client):
    client.store(jobs(1), request=request_for("key", b"body", 1000))
    with pytest.raises(IdempotencyMismatch):
        client.store(jobs(1), request=request_for("key", b"other", 2000))
    assert client.stats().queue_size == 1


# Waiting


def test_a_client_that_waits_is_told_when_the_job_has_ended(client, worker):
    job_id = client.enqueue("email", {})
    timer = threading.Timer(0.1, lambda: worker.complete(worker.fetch()))
    timer.start()
    job = client.wait(job_id, timeout=60)
    timer.join()
    assert job.status == "completed"


def test_a_wait_that_times_out_returns_the_unfinished_job(client):
    job_id = client.enqueue("email", {})
    start = time.monotonic()
    assert client.wait(job_id, timeout=0.2).status == "pending"
    assert 0.15 < time.monotonic() - start < 10.0


def test_waiting_for_a_missing_job_fails_at_once(client):
    with pytest.raises(JobNotFound):
        client.wait(new_job_id(), timeout=5)


def test_a_job_that_forgets_itself_meanwhile_is_not_found(client, worker):
    job_id = client.enqueue("email", {}, retention=0)
    timer = threading.Timer(0.1, lambda: worker.complete(worker.fetch()))
    timer.start()
    with pytest.raises(JobNotFound):
        client.wait(job_id, timeout=60)
    timer.join()


# Acting


def test_cancelling_says_where_the_job_is_then(client, worker):
    waiting = client.enqueue("email", {}, delay="1h")
    assert client.cancel(waiting) == "cancelled"
    running = client.enqueue("email", {})
    worker.fetch()
    assert client.cancel(running) == "processing"


def test_what_has_ended_can_not_be_cancelled(client, worker):
    job_id = client.enqueue("email", {})
    worker.complete(worker.fetch())
    with pytest.raises(JobConflict, match="completed"):
        client.cancel(job_id)


@pytest.mark.parametrize("deed", ["job", "cancel", "logs", "why"])
def test_a_job_that_is_not_there_is_not_found(client, deed):
    client.enqueue("email", {})
    with pytest.raises(JobNotFound):
        getattr(client, deed)(new_job_id())


def test_purging_continues_until_nothing_is_left(client):
    client.enqueue_many(mails(2500))
    seen = []
    assert client.purge("default", "pending", seen.append) == 2500
    assert seen[-1] == 2500
    assert len(seen) >= 3
    assert client.stats().queue_size == 0


@pytest.mark.parametrize("state", ["processing", "completed", "nonsense"])
def test_only_what_waits_can_be_purged(client, state):
    with pytest.raises(InvalidJob) as caught:
        client.purge("default", state)
    assert caught.value.field == "/state"


# Settings


def test_address_and_namespace_may_come_from_the_settings(redis_url, namespace):
    with Client(settings=Settings(redis_url=redis_url, namespace=namespace)) as client:
        job_id = client.enqueue("email", {})
    with Client(redis_url, namespace=namespace) as client:
        assert client.job(job_id).status == "pending"


def test_namespaces_do_not_see_each_other(client, redis_url):
    job_id = client.enqueue("email", {})
    with Client(redis_url, namespace="another") as other, pytest.raises(JobNotFound):
        other.job(job_id)


def test_result_ttl_is_how_long_records_are_kept(redis_url, namespace):
    with Client(settings=Settings(redis_url=redis_url, namespace=namespace, result_ttl=60.0)) as client:
        job_id = client.enqueue("email", {})
        client.cancel(job_id)
        assert 30_000 < client.server.client.pttl(client.server.keys.for_queue("default").job(job_id)) <= 60_000


def test_threads_may_share_one(client):
    threads = [threading.Thread(target=lambda: client.enqueue_many(mails(20))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.stats().queue_size == 120
