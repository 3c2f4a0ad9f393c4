"""Acting on jobs that wait: run, move, copy, and cancel all that match a filter."""

import msgspec
import pytest

from gopher.base.times import from_rfc3339
from gopher.client import Client
from gopher.errors import CancellationNotFound, InvalidJob, JobConflict, JobNotFound
from gopher.jobs.job import NewJob, job_id_from, new_job_id
from gopher.jobs.owners import Submitter
from gopher.queue.deliveries import entry_of, move_in
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def state(client, job_id, queue="default"):
    return client.inspector.state(queue, job_id)


def finish_cancellations(client, queue="default"):
    call = client.server.queue(queue).continue_cancellations()
    while client.server.run(call).next_due is not None:
        pass


def test_a_scheduled_job_runs_now(client):
    job_id = client.enqueue("email", {}, delay="1h")
    client.waiting.run(job_id.upper())
    assert [job.id for job in SeedingWorker(client).fetch()] == [job_id]
    with pytest.raises(JobConflict, match="can't be run now: it is processing"):
        client.waiting.run(job_id)
    with pytest.raises(JobNotFound):
        client.waiting.run(new_job_id())


def test_a_moved_job_is_the_same_job_elsewhere(client):
    options = {"retention": "1h", "limit_key": "k", "retry_for": "2h", "tags": ["a"], "metadata": {"n": "ä"}}
    job_id = client.enqueue("email", {"text": "ä" * 50}, delay="1h", **options)
    before = client.job(job_id)
    moved = client.waiting.move(job_id, queue="mail", priority="high")
    assert (moved.job_id, moved.queue, moved.priority) == (job_id, "mail", "high")
    after = client.job(job_id)
    assert after == msgspec.structs.replace(before, queue="mail", priority="high")
    assert client.inspector.state("default", job_id) is None
    assert client.waiting.move(job_id, queue="mail").queue == "mail"
    client.waiting.run(job_id)
    assert [job.id for job in SeedingWorker(client, "mail").fetch()] == [job_id]
    with pytest.raises(JobConflict, match="can't be moved: it is processing"):
        client.waiting.move(job_id, queue="default")


def test_a_move_that_its_process_did_not_finish_is_finished_by_a_scheduler_and_happens_once(client):
    job_id = client.enqueue("email", {"text": "ä"})
    source, target = client.server.queue("default"), client.server.queue("mail")
    client.server.register_queues("mail")
    _, entry = client.server.run(source.depart(job_id, "mail", "m"))
    for _ in range(2):
        client.server.run(move_in(target, [entry_of(entry)]))
    worker = SeedingWorker(client, "mail")
    (job,) = worker.fetch()
    assert job.id == job_id
    assert msgspec.json.decode(job.envelope)["payload"] == {"text": "ä"}
    worker.complete([job])
    client.server.client.delete(target.keys.job(job_id))
    client.server.run(move_in(target, [entry_of(entry)]))
    assert worker.fetch() == []


def test_what_is_asked_of_a_move_is_checked(client):
    job_id = client.enqueue("email", {})
    for asked, field in (({}, "/queue"), ({"queue": "No"}, "/queue"), ({"priority": "urgent"}, "/priority")):
        with pytest.raises(InvalidJob) as refused:
            client.waiting.move(job_id, **asked)
        assert refused.value.field == field
    child = client.enqueue("email", {}, after=[job_id])
    for each, reason in ((job_id, "other jobs of its queue wait for it"), (child, "it waits for other jobs")):
        with pytest.raises(JobConflict, match=reason):
            client.waiting.move(each, queue="mail")


def test_a_job_that_can_not_be_moved_keeps_its_priority_and_no_queue_is_registered_for_it(client):
    parent = client.enqueue("email", {}, delay="1h")
    child = client.enqueue("email", {}, after=[parent])
    for each in (parent, child):
        with pytest.raises(JobConflict):
            client.waiting.move(each, queue="mail", priority="high")
        assert client.job(each).priority == "normal"
    assert "mail" not in client.server.queues()


def test_a_copy_has_the_options_and_the_owner_of_the_job_and_both_show_it(client):
    options = {"max_retries": 7, "timeout": 3, "retention": "1h", "tags": ["a"], "metadata": {"n": 1}, "queue": "mail"}
    options |= {"retry_for": "2h", "limit_key": "k", "tenant": "shop-1"}
    options["callback"] = {"url": "https://example.com/hook", "events": ["failed"], "include": ["error"]}
    job = client.prepare("email", {"n": 10**30}, priority="low", unique_key="k", **options)
    (stored,) = client.store([job], submitter=Submitter("shop"))
    copy_id = client.waiting.copy(stored.job_id)
    before, copy = client.job(stored.job_id), client.job(copy_id)
    assert (copy.copied_from, before.copies) == (stored.job_id, [copy_id])
    same = {"job_id": "", "created_at": "", "copied_from": "", "copies": []}
    assert msgspec.structs.replace(copy, **same) == msgspec.structs.replace(before, **same)
    keys = client.server.keys.for_queue("mail")
    told = [client.server.client.hget(keys.job(each), "callback") for each in (stored.job_id, copy_id)]
    assert told == [b"failed https://example.com/hook error"] * 2
    other = client.job(client.waiting.copy(stored.job_id, {"n": 2}, queue="other", priority="high"))
    assert (bytes(other.payload), other.queue, other.priority) == (b'{"n":2}', "other", "high")


def test_dead_letters_and_finished_jobs_are_copied_as_well(client):
    worker = SeedingWorker(client)
    dead, done = client.enqueue("email", {}), client.enqueue("email", {})
    first, second = worker.fetch(2)
    worker.dead_letter(first)
    worker.complete([second])
    copies = [client.waiting.copy(each) for each in (dead, done)]
    assert [state(client, each) for each in copies] == ["pending", "pending"]
    with pytest.raises(InvalidJob, match="must be a JSON object"):
        client.waiting.copy(dead, payload=[1])


def test_all_jobs_that_match_are_cancelled(client):
    wanted = [client.enqueue("email", {}, queue=queue) for queue in ("default", "mail")]
    others = [client.enqueue("sms", {}), client.enqueue("email", {}, delay="1h")]
    started = client.waiting.cancel_matching(job_type="email", status="pending")
    for queue in ("default", "mail"):
        finish_cancellations(client, queue)
    assert [state(client, job_id, queue) for job_id, queue in zip(wanted, ("default", "mail"), strict=True)] == [
        "cancelled",
        "cancelled",
    ]
    assert [state(client, each) for each in others] == ["pending", "scheduled"]
    views = client.waiting.cancellations()
    assert {(view.cancellation_id, view.queue, view.status) for view in views} == {
        (started.cancellation_id, queue, "finished") for queue in ("default", "mail")
    }
    assert (views[0].type, views[0].state, sum(view.cancelled for view in views)) == ("email", "pending", 2)
    assert client.waiting.stop_cancellation(started.cancellation_id) is False
    with pytest.raises(CancellationNotFound):
        client.waiting.stop_cancellation(new_job_id())


def test_the_jobs_of_an_owner_are_cancelled_and_no_others(client):
    jobs = [client.prepare("email", {"owner": "shop"}) for _ in range(2)]
    (own,) = client.store(jobs[:1], submitter=Submitter("shop"))
    (other,) = client.store(jobs[1:], submitter=Submitter("shop2"))
    client.waiting.cancel_matching(owner="shop")
    finish_cancellations(client)
    assert [state(client, each.job_id) for each in (own, other)] == ["cancelled", "pending"]


def test_a_cancellation_can_be_stopped_and_its_filter_is_checked(client):
    client.enqueue("email", {})
    started = client.waiting.cancel_matching(created_before="2030-01-01T00:00:00Z")
    assert client.waiting.stop_cancellation(started.cancellation_id.upper()) is True
    (view,) = client.waiting.cancellations()
    assert (view.status, view.reason, view.created_before) == ("stopped", "by an operator", "2030-01-01T00:00:00.000Z")
    for asked in ({"status": "completed"}, {"created_before": "soon"}, {"owner": '"'}):
        with pytest.raises(InvalidJob):
            client.waiting.cancel_matching(**asked)


def test_jobs_that_are_older_than_some_time_are_cancelled(client):
    old, new = job_id_from(client.inspector.now() - 7_200_000, "old"), new_job_id()
    client.store([NewJob(job_id, "email", b'{"payload":{}}') for job_id in (old, new)])
    started = client.waiting.cancel_matching(created_before="1h")
    (view,) = client.waiting.cancellations()
    assert from_rfc3339(view.created_before) < client.inspector.now() - 3_599_000
    assert started.cancellation_id == view.cancellation_id
    finish_cancellations(client)
    assert [state(client, job_id) for job_id in (old, new)] == ["cancelled", "pending"]


def test_deliveries_of_webhooks_are_cancelled_only_if_type_or_queue_say_so(client):
    webhook = client.webhooks.create("https://example.com/hook")
    for number, asked in enumerate(({"queue": "webhooks"}, {"job_type": "gopher.webhook"})):
        delivery = client.webhooks.test(webhook.webhook_id)
        job_id = client.enqueue("email", {})
        for others in ({"status": "pending"}, {"created_before": "2100-01-01T00:00:00Z"}, {"job_type": "email"}):
            client.waiting.cancel_matching(**others)
        finish_cancellations(client)
        finish_cancellations(client, "webhooks")
        assert (state(client, job_id), state(client, delivery, "webhooks")) == ("cancelled", "pending"), number
        client.waiting.cancel_matching(**asked)
        finish_cancellations(client, "webhooks")
        assert state(client, delivery, "webhooks") == "cancelled"
