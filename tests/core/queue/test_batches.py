"""Batches whose jobs go to several queues: checked as a whole, and mended by a repeat."""

import time

import pytest
from msgspec import Raw

from gopher.base.times import to_rfc3339
from gopher.client import Client
from gopher.errors import InvalidJob, OutcomeUnknown, QueueFull
from gopher.jobs.job import new_job_id
from gopher.jobs.prepare import prepare_batch
from gopher.jobs.submission import InvalidBatch, Submission
from gopher.queue.idempotency import request_for, with_ids
from tests.helpers import wait_until


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def entry(queue, after=""):
    return b'{"type":"email","payload":{},"queue":"%s","after":[%s]}' % (queue.encode(), after.encode())


def batch(request, *entries):
    return with_ids(prepare_batch(entries), request, int(request.answer))


def waiting(client):
    return {name: stats.waiting + stats.scheduled for name, stats in client.stats().queues.items()}


def test_a_parent_that_does_not_exist_is_named_and_no_queue_stores_anything(client):
    nobody, elsewhere = new_job_id(), client.enqueue("email", {}, queue="a")
    jobs = prepare_batch([entry("a"), entry("b", f'"{nobody}"'), entry("a", "0"), entry("b", f'"{elsewhere}"')])
    with pytest.raises(InvalidBatch) as refused:
        client.store(jobs)
    assert [(index, error.field) for index, error in refused.value.errors] == [(1, "/after")]
    assert waiting(client) == {"a": 1}


def test_parents_in_the_same_queue_are_found(client):
    first = client.enqueue("email", {}, queue="b")
    jobs = prepare_batch([entry("a"), entry("b", f'"{first}"'), entry("a", "0"), entry("b", "1")])
    client.store(jobs)
    assert waiting(client) == {"a": 2, "b": 3}


def test_a_repeat_stores_what_another_queue_could_not(client, monkeypatch):
    """The second request is made later, so that its ids would be others: also those that jobs wait for."""
    run, refused = client.server.run, []

    def run_or_refuse(call, **options):
        if "{b}" in call.key and not refused:
            refused.append(call)
            raise QueueFull("the server is out of memory")
        return run(call, **options)

    first, again = request_for("key", b"body", 1_800_000_000_000), request_for("key", b"body", 1_800_000_060_000)
    entries = [entry("a"), entry("b"), entry("b", "1"), entry("a", "0")]
    monkeypatch.setattr(client.server, "run", run_or_refuse)
    with pytest.raises(OutcomeUnknown, match="2 of the 4 jobs were stored"):
        client.store(batch(first, *entries), request=first)
    stored = client.store(batch(again, *entries), request=again)
    assert [each.job_id for each in stored] == [job.id for job in batch(first, *entries)]
    assert waiting(client) == {"a": 2, "b": 2}
    record = client.server.client.hget(client.server.keys.for_queue("b").job(stored[2].job_id), "parents")
    assert record.decode() == stored[1].job_id


def test_a_repeat_is_answered_when_the_parents_are_gone(client):
    parent = client.enqueue("email", {}, queue="b")
    request = request_for("key", b"body", 1_800_000_000_000)
    entries = [entry("a"), entry("b", f'"{parent}"')]
    first = client.store(batch(request, *entries), request=request)
    client.server.client.delete(client.server.keys.for_queue("b").job(parent))
    again = client.store(batch(request, *entries), request=request)
    assert [each.job_id for each in again] == [each.job_id for each in first]


def test_what_fails_before_anything_is_stored_says_so(client, monkeypatch):
    def refuse(call, **options):
        raise QueueFull("the server is out of memory")

    jobs = prepare_batch([entry("a"), entry("b"), entry("a")])
    monkeypatch.setattr(client.server, "run", refuse)
    with pytest.raises(QueueFull):
        client.store(jobs)


# Times


def late_by(client, seconds):
    return to_rfc3339(client.inspector.now() + seconds * 1000)


@pytest.mark.parametrize("wrong", [-86_400, 86_400])
def test_the_servers_clock_decides_whether_a_job_has_expired(client, monkeypatch, wrong):
    """The clock of the client, or of the API, is a day wrong."""
    now = time.time() + wrong
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: int(now * 1e9))
    past, future = late_by(client, -60), late_by(client, 60)
    with pytest.raises(InvalidJob, match="in the past") as refused:
        client.enqueue("email", {}, expires_at=past)
    assert refused.value.field == "/expires_at"
    with pytest.raises(InvalidJob, match="in the past"):
        client.dry_run_submission(Submission("email", Raw(b"{}"), expires_at=past))
    with pytest.raises(InvalidBatch) as many:
        client.enqueue_many([{"type": "email", "payload": {}, "expires_at": at} for at in (future, past, future)])
    assert [(index, error.field) for index, error in many.value.errors] == [(1, "/expires_at")]
    job = client.job(client.enqueue("email", {}, expires_at=future))
    assert job.status == "pending"
    delayed = client.dry_run_submission(Submission("email", Raw(b"{}"), delay="1h"))
    assert late_by(client, 3590) < delayed.execute_at <= late_by(client, 3600)


def test_a_repeat_after_the_job_has_expired_gets_the_first_answer(client):
    request = request_for("expiring", b"body", client.inspector.now())
    soon = b'{"type":"email","payload":{},"expires_at":"%s"}' % to_rfc3339(client.inspector.now() + 1500).encode()
    (first,) = client.store(batch(request, soon), request=request)
    wait_until(lambda: client.job(first.job_id).status == "expired")
    with pytest.raises(InvalidJob, match="in the past"):
        client.store(prepare_batch([soon]))
    (again,) = client.store(batch(request, soon), request=request)
    assert again.job_id == first.job_id
