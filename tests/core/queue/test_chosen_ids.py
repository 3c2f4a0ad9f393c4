"""Ids that submitters choose: a repeat is the same job, anything else under that id is refused."""

from uuid import uuid4

import msgspec
import pytest

from gopher.client import Client
from gopher.errors import JobConflict, JobIdTaken
from gopher.jobs.owners import Submitter
from gopher.jobs.submission import InvalidBatch
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def chosen():
    return str(uuid4())


def stored(client, owner="", **fields):
    return client.store([client.prepare("email", **fields)], submitter=Submitter(owner, sees_all=not owner))[0]


def test_the_same_submission_is_the_same_job_even_when_it_has_ended_and_is_gone(client, chosen):
    asked = {"payload": {"n": 1}, "job_id": chosen.upper(), "retention": "0s"}
    assert (stored(client, **asked).job_id, client.enqueue("email", **asked)) == (chosen, chosen)
    assert stored(client, **asked).duplicate
    worker = SeedingWorker(client)
    (job,) = worker.fetch(2)
    worker.complete([job])
    assert client.inspector.find(chosen) is None
    assert stored(client, **asked).duplicate
    assert worker.fetch(2) == []


def test_such_a_job_is_found_and_tells_when_it_was_created(client, chosen):
    for number in range(12):
        client.enqueue("email", {}, queue=f"q{number}")
    before = client.job(client.enqueue("email", {}, queue="mail", job_id=chosen)).created_at
    after = client.job(client.enqueue("email", {})).created_at
    assert before[:4] == after[:4]
    assert client.inspector.find(chosen) == "mail"


@pytest.mark.parametrize("change", [{"payload": {"n": 2}}, {"queue": "mail"}, {"priority": "high"}, {"owner": "other"}])
def test_anything_else_under_the_id_is_refused_with_the_same_words(client, chosen, change):
    asked = {"payload": {"n": 1}, "job_id": chosen, "owner": "shop"}
    stored(client, **asked)
    with pytest.raises(JobIdTaken) as refused:
        stored(client, **{**asked, **change})
    assert refused.value.field == "/job_id"
    assert "shop" not in str(refused.value)
    assert len(client.jobs().jobs) == 1


def test_the_id_of_a_job_that_was_not_chosen_is_taken_in_every_queue(client):
    job_id = client.enqueue("email", {}, queue="mail")
    for queue in ("mail", "other"):
        with pytest.raises(JobIdTaken):
            stored(client, payload={"x": "y" * 3_000}, job_id=job_id, queue=queue)
    assert client.job(job_id).queue == "mail"


def test_a_batch_with_an_id_of_another_job_stores_nothing(client, chosen):
    stored(client, payload={}, job_id=chosen)
    entries = [{"type": "email", "payload": {}}, {"type": "email", "payload": {"n": 1}, "job_id": chosen}]
    with pytest.raises(InvalidBatch) as refused:
        client.submit_batch([msgspec.json.encode(each) for each in entries])
    assert (refused.value.code, [index for index, _ in refused.value.errors]) == ("job_id_taken", [1])
    assert len(client.jobs().jobs) == 1


def test_jobs_of_a_batch_wait_for_earlier_ones_by_their_chosen_ids(client, chosen):
    entries = [
        {"type": "email", "payload": {}, "job_id": chosen, "queue": "mail"},
        {"type": "email", "payload": {}, "job_id": str(uuid4()), "queue": "mail", "after": [0]},
    ]
    texts = [msgspec.json.encode(each) for each in entries]
    for key in (None, "k"):
        results = client.submit_batch(texts, idempotency_key=key)
        assert [each.job_id for each in results] == [each["job_id"] for each in entries]
    assert len(client.jobs().jobs) == 2


def test_a_moved_job_is_still_the_same_one(client, chosen):
    asked = {"payload": {}, "job_id": chosen}
    stored(client, **asked)
    client.waiting.move(chosen, queue="mail")
    assert stored(client, **asked).duplicate
    client.server.client.delete(client.server.keys.for_queue("default").named(chosen))
    assert stored(client, **asked).duplicate
    assert [job.queue for job in client.jobs().jobs] == ["mail"]


def test_a_job_that_could_not_be_moved_is_still_the_same_one_where_it_is(client, chosen):
    asked = {"payload": {}, "job_id": chosen, "after": [client.enqueue("email", {})]}
    assert stored(client, **asked).job_id == chosen
    with pytest.raises(JobConflict):
        client.waiting.move(chosen, "other")
    assert stored(client, **asked).duplicate
    assert not client.server.client.exists(client.server.keys.for_queue("other").job(chosen))


def test_the_id_of_a_job_that_was_refused_can_be_used_again(client, chosen):
    with pytest.raises(Exception, match="no job"):
        stored(client, payload={}, job_id=chosen, after=[str(uuid4())])
    assert not stored(client, payload={"n": 1}, job_id=chosen).duplicate


def test_an_entry_of_the_index_whose_job_is_not_there_is_replaced_after_a_while(client, chosen):
    key = client.server.keys.job_index(chosen)
    client.server.client.set(key, "mail 0123 1000")
    assert client.inspector.find(chosen) is None
    stored(client, payload={}, job_id=chosen)
    assert client.inspector.find(chosen) == "default"
    assert 0 < client.server.client.ttl(key) < 3 * 86400
