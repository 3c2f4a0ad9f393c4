"""Jobs of batches as they are stored, while the batch is sealed or cancelled, or after it is gone."""

import pytest

from gopher.errors import InvalidJob, OutcomeUnknown, QueueFull
from gopher.jobs.batch import NewBatch
from gopher.jobs.prepare import prepare_batch
from gopher.queue.idempotency import IdempotencyMismatch, request_for, with_ids
from tests.core.admin.test_batches import settle
from tests.helpers import wait_until
from tests.worker.processes import patient_client


@pytest.fixture
def client(redis_url, namespace):
    with patient_client(redis_url, namespace) as client:
        yield client


@pytest.fixture
def batch_id(client):
    return client.batches.create(NewBatch()).batch_id


def entry(batch_id, queue="mails"):
    return b'{"type":"email","payload":{},"queue":"%s","batch":"%s"}' % (queue.encode(), batch_id.encode())


def submit(client, entries, minute=0, body=b"body"):
    """Submit with the same key each time; the ids of a later request would be others."""
    request = request_for("key", body, 1_800_000_000_000 + minute * 60_000)
    return client.store(with_ids(prepare_batch(entries), request, int(request.answer)), request=request)


def counts(client, batch_id):
    view = client.batches.get(batch_id)
    return (view.total, view.pending)


def seal(client, batch_id):
    client.batches.seal(batch_id)


def delete(client, batch_id):
    keys = client.server.keys.for_queue("default")
    client.server.client.delete(keys.batch(batch_id), keys.batch_jobs(batch_id))
    # Other processes do not know where it was.
    client.batches.members._places.clear()


@pytest.mark.parametrize("end", [seal, delete])
@pytest.mark.parametrize("queues", [["mails"], ["mails", "files", "mails"]])
def test_a_repeat_after_the_batch_was_sealed_or_is_gone_gets_the_first_answer(client, batch_id, queues, end):
    entries = [entry(batch_id, queue) for queue in queues]
    first = submit(client, entries)
    end(client, batch_id)
    again = submit(client, entries, minute=1)
    assert [each.job_id for each in again] == [each.job_id for each in first]
    assert all(each.replayed for each in again)
    assert client.stats().total_enqueued == len(queues)
    if end is seal:
        assert counts(client, batch_id) == (len(queues), len(queues))
    with pytest.raises(IdempotencyMismatch):
        submit(client, entries, body=b"other")


@pytest.mark.parametrize("end", [seal, delete])
def test_a_repeat_stores_what_another_queue_could_not_although_the_batch_was_sealed(client, batch_id, monkeypatch, end):
    run = client.server.run

    def run_or_refuse(call, **options):
        if "{files}" in call.key:
            raise QueueFull("the server is out of memory")
        return run(call, **options)

    entries = [entry(batch_id, "mails"), entry(batch_id, "files")]
    with monkeypatch.context() as patch:
        patch.setattr(client.server, "run", run_or_refuse)
        with pytest.raises(OutcomeUnknown, match="1 of the 2 jobs were stored"):
            submit(client, entries)
    end(client, batch_id)
    stored = submit(client, entries, minute=1)
    assert [client.job(each.job_id).queue for each in stored] == ["mails", "files"]
    if end is seal:
        assert counts(client, batch_id) == (2, 2)


def test_a_first_request_for_a_sealed_batch_is_refused(client, batch_id):
    seal(client, batch_id)
    with pytest.raises(InvalidJob, match="is sealed"):
        submit(client, [entry(batch_id)])
    assert (counts(client, batch_id), client.stats().total_enqueued) == ((0, 0), 0)


def test_jobs_that_are_added_while_their_batch_is_cancelled_are_cancelled(client, batch_id, monkeypatch):
    """Schedulers come to them before they are stored, but after the batch has counted them."""
    run, begun = client.server.run, []

    def cancel_and_run(call, **options):
        if "{mails}" in call.key and not begun:
            begun.append(call)
            client.batches.cancel(batch_id)
            settle(client)
        return run(call, **options)

    monkeypatch.setattr(client.server, "run", cancel_and_run)
    stored = submit(client, [entry(batch_id, "mails"), entry(batch_id, "files")])

    def are_cancelled():
        settle(client)
        return {client.job(each.job_id).status for each in stored} == {"cancelled"}

    wait_until(are_cancelled)
    view = client.batches.get(batch_id)
    assert (view.status, view.cancelled, view.total) == ("failed", 2, 2)
