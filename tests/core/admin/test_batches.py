"""Batches through a client: who may add jobs, which of them count, and what happens to all of them."""

import asyncio
import io
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from gopher import AsyncClient
from gopher.admin.transfer.export_file import export_to
from gopher.admin.transfer.importer import Importer
from gopher.client import Client
from gopher.errors import BatchNotFound, InvalidJob, JobConflict, JobIdTaken
from gopher.jobs.batch import BatchView, NewBatch
from gopher.jobs.job import new_job_id
from gopher.jobs.owners import Submitter
from gopher.jobs.prepare import prepare_fields
from gopher.jobs.submission import InvalidBatch
from gopher.queue.deliveries import DELIVERIES, Entry
from gopher.queue.relay import Relay
from tests.seeding import SeedingWorker

REPORT = {"type": "report", "payload": {"n": 1}}


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as client:
        yield client


def settle(client: Client) -> None:
    """Do what schedulers do, until nothing is left to deliver."""
    server = client.server

    def send(call: Any, callback: Any) -> None:
        callback(server.run(call))

    for _ in range(6):
        for name in client.server.queues():
            server.run(server.queue(name).continue_batches())
            relay = Relay(server.queue(name), send, server.queue)
            relay.take(server.run(relay.call()))
            server.run(server.queue(name).promote())


def counts(view: BatchView) -> tuple[int, int, int, int]:
    return (view.total, view.pending, view.completed, view.failed)


def test_a_batch_counts_jobs_of_all_queues_and_calls_back_with_its_id(client: Client) -> None:
    with client.batch(name="import", on_complete=REPORT, on_failure=REPORT, queue="home") as batch:
        for queue in ("mails", "files"):
            batch.enqueue("email", {}, queue=queue)
        batch.enqueue_many({"type": "math", "payload": {}, "queue": "files"} for _ in range(2))
    assert counts(batch.progress()) == (4, 4, 0, 0)
    for queue in ("mails", "files"):
        worker = SeedingWorker(client, queue)
        while jobs := worker.fetch(5):
            worker.complete(jobs)
    settle(client)
    view = batch.wait(0)
    assert (view.status, counts(view)) == ("succeeded", (4, 0, 4, 0))
    assert {name: each.completed for name, each in view.types.items()} == {"email": 2, "math": 2}
    assert view.callbacks["failure"] is None
    called = client.job(str(view.callbacks["complete"]))
    assert (called.type, called.batch, bytes(called.payload)) == ("report", batch.id, b'{"n":1}')


def test_only_what_is_stored_counts(client: Client) -> None:
    first = client.enqueue("email", {}, unique_key="k", delay="1h")
    with client.batch() as batch:
        assert batch.enqueue("email", {}, unique_key="k") == first
        with pytest.raises(InvalidJob, match="there is no job"):
            batch.enqueue("email", {}, after=[new_job_id()])
        batch.enqueue("email", {}, delay="1h")
    assert counts(batch.progress()) == (1, 1, 0, 0)


def test_a_job_of_a_batch_whose_payload_is_replaced_stays_in_it(client: Client) -> None:
    with client.batch() as batch, client.batch() as other:
        job_id = batch.enqueue("email", {}, unique_key="k", delay="1h")
        for more in ({}, {"batch": other.id}):
            again = client.enqueue("email", {"n": 1}, unique_key="k", unique_mode="replace", delay="1h", **more)
            assert again == job_id
    assert (counts(batch.progress()), counts(other.progress())) == ((1, 1, 0, 0), (0, 0, 0, 0))
    assert client.job(job_id).batch == batch.id


def test_a_job_that_the_batch_has_stays_in_it_when_its_id_is_refused_or_comes_again(client: Client) -> None:
    job_id = new_job_id()
    with client.batch() as batch:
        batch.enqueue("email", {}, job_id=job_id)
        with pytest.raises(JobIdTaken):
            batch.enqueue("email", {"other": 1}, job_id=job_id)
        batch.enqueue("email", {}, job_id=job_id)
    assert counts(batch.progress()) == (1, 1, 0, 0)


def make_stale(client: Client, batch: BatchView) -> None:
    """Have schedulers look at the jobs of a batch now, since nothing has happened for a while."""
    keys = client.server.keys.for_queue(batch.queue)
    client.server.client.hset(keys.batch(batch.batch_id), "changed", 1)
    client.server.client.zadd(keys.batch_work, {batch.batch_id: 1})


def test_jobs_that_are_moved_to_other_queues_count_there(client: Client) -> None:
    with client.batch(queue="home", on_complete=REPORT) as batch:
        moved, died = (batch.enqueue("email", {}, queue="mails") for _ in range(2))
    for job_id in (moved, died):
        client.waiting.move(job_id, "files")
        client.waiting.move(job_id, "slow")
    settle(client)
    make_stale(client, batch.progress())
    settle(client)
    assert (counts(batch.progress()), batch.progress().callbacks["complete"]) == ((2, 2, 0, 0), None)
    assert {job.queue for job in client.batches.jobs(batch.id).jobs} == {"slow"}
    worker = SeedingWorker(client, "slow")
    worker.dead_letter(*[job for job in worker.fetch(2) if job.id == died])
    settle(client)
    client.batches.retry(batch.id)
    settle(client)
    assert (client.job(died).status, counts(batch.progress())) == ("pending", (2, 2, 0, 0))
    client.batches.cancel(batch.id)
    settle(client)
    assert client.job(died).status == "cancelled"


def test_jobs_wait_for_one_that_is_moved_before_its_queue_learns_of_them(client: Client) -> None:
    parents = [client.enqueue("email", {}, queue="mails") for _ in range(2)]
    child = client.enqueue("report", {}, queue="reports", after=parents)
    client.waiting.move(parents[1], "files")
    settle(client)
    for queue in ("mails", "files"):
        worker = SeedingWorker(client, queue)
        worker.complete(worker.fetch())
        settle(client)
    assert client.job(child).status == "pending"


def test_a_job_that_is_on_its_way_to_another_queue_is_neither_lost_to_its_batch_nor_to_its_cancellation(
    client: Client,
) -> None:
    """Whoever has moved it has died in between, and its queue is looked at before a scheduler moves it on."""
    with client.batch(queue="home") as batch:
        job_id = batch.enqueue("email", {}, queue="mails")
    client.server.register_queues("slow")
    client.server.run(client.server.queue("mails").depart(job_id, "slow", new_job_id()))
    make_stale(client, batch.progress())
    client.batches.cancel(batch.id)
    home = client.server.queue("home")
    client.server.run(home.continue_batches())
    entry = Entry("cancel", batch.id, "", "", 0, 0, (job_id,))
    (call,) = DELIVERIES["cancel"]("home", client.server.queue("mails"), [entry])
    assert client.server.run(call) == "MISSING"
    settle(client)
    view = batch.progress()
    assert (view.status, view.cancelled, client.job(job_id).status) == ("failed", 1, "cancelled")


@pytest.mark.parametrize("cursor", ["abc", "nan", "-1", "9" * 20, "9" * 5000])
def test_what_is_no_cursor_is_named(client: Client, cursor: str) -> None:
    for read in (client.batches.page, partial(client.batches.jobs, client.batches.create(NewBatch()).batch_id)):
        with pytest.raises(InvalidJob, match="next_cursor") as refused:
            read(cursor=cursor)
        assert refused.value.field == "/cursor"


@pytest.mark.parametrize("sealed", [True, False])
def test_a_job_of_a_batch_that_takes_none_is_rejected_and_named(client: Client, sealed: bool) -> None:
    batch_id = client.batches.create(NewBatch()).batch_id if sealed else new_job_id()
    if sealed:
        client.batches.seal(batch_id)
    with pytest.raises(InvalidJob, match="is sealed" if sealed else "there is no batch") as refused:
        client.enqueue("email", {}, batch=batch_id)
    assert refused.value.field == "/batch"
    with pytest.raises(InvalidBatch) as many:
        client.enqueue_many([{"type": "email", "payload": {}}, {"type": "email", "payload": {}, "batch": batch_id}])
    assert [index for index, _ in many.value.errors] == [1]
    assert client.stats().total_enqueued == 0


def test_a_block_that_raises_cancels_its_batch(client: Client) -> None:
    batch = client.batch(on_success=REPORT)
    ids = []

    def fill() -> None:
        with batch:
            ids.append(batch.enqueue("email", {}, queue="mails"))
            batch.enqueue("not a type", {})

    with pytest.raises(InvalidJob, match="/type"):
        fill()
    settle(client)
    view = client.batches.get(batch.id)
    assert (client.job(ids[0]).status, view.status, view.cancelled) == ("cancelled", "failed", 1)
    with pytest.raises(BatchNotFound):
        client.batches.get(new_job_id())


def test_dead_letters_of_a_batch_are_retried_together_and_then_it_succeeds(client: Client) -> None:
    with client.batch(on_success=REPORT, on_complete=REPORT) as batch:
        for queue in ("mails", "files"):
            batch.enqueue("email", {}, queue=queue)
    for queue in ("mails", "files"):
        worker = SeedingWorker(client, queue)
        worker.dead_letter(worker.fetch()[0])
    settle(client)
    view = client.batches.get(batch.id)
    assert (view.status, counts(view), view.callbacks["success"]) == ("failed", (2, 0, 0, 2), None)
    client.batches.retry(batch.id)
    with pytest.raises(JobConflict):
        client.batches.cancel(batch.id)
    settle(client)
    assert (client.batches.get(batch.id).status, counts(client.batches.get(batch.id))) == ("running", (2, 2, 0, 0))
    for queue in ("mails", "files"):
        worker = SeedingWorker(client, queue)
        worker.complete(worker.fetch())
    settle(client)
    again = client.batches.get(batch.id)
    assert (again.status, again.callbacks["complete"]) == ("succeeded", view.callbacks["complete"])
    assert client.job(str(again.callbacks["success"])).status == "pending"


def test_a_job_whose_submitter_died_before_it_was_stored_does_not_hold_up_the_batch(client: Client) -> None:
    batch_id = client.batches.create(NewBatch(queue="home")).batch_id
    client.server.register_queues("mails")
    client.server.run(client.server.queue("home").join_batch(batch_id, [(new_job_id(), "mails", "email")]))
    client.batches.seal(batch_id)
    make_stale(client, client.batches.get(batch_id))
    settle(client)
    view = client.batches.get(batch_id)
    assert (view.status, counts(view)) == ("succeeded", (0, 0, 0, 0))


def test_clients_see_only_batches_of_their_own(client: Client) -> None:
    owner = Submitter("shop", sees_all=False)
    view = client.batches.create(NewBatch(), submitter=owner)
    job = prepare_fields({"type": "email", "payload": {}, "batch": view.batch_id})
    with pytest.raises(InvalidJob, match="there is no batch"):
        client.store([job], submitter=Submitter("blog", sees_all=False))
    client.store([job], submitter=owner)
    assert (client.batches.get(view.batch_id).total, view.owner) == (1, "shop")


def test_jobs_wait_for_a_batch_and_for_jobs_of_other_queues(client: Client) -> None:
    with client.batch() as batch:
        member = batch.enqueue("email", {}, queue="mails")
    waiting = client.enqueue("report", {}, queue="reports", after={"batch": batch.id})
    follower = client.enqueue("report", {}, queue="files", after=[waiting, member])
    settle(client)
    assert [client.job(each).status for each in (waiting, follower)] == ["scheduled", "scheduled"]
    for queue in ("mails", "reports"):
        worker = SeedingWorker(client, queue)
        worker.complete(worker.fetch(), b'{"n":2}')
        settle(client)
    (job,) = SeedingWorker(client, "files").fetch()
    assert (job.id, job.parents) == (follower, {waiting: b'{"n":2}', member: b'{"n":2}'})


def test_it_lists_batches_newest_first_in_pages_and_their_jobs(client: Client) -> None:
    made = [client.batches.create(NewBatch(name=str(number))).batch_id for number in range(3)]
    client.batches.seal(made[0])
    assert {view.batch_id for view in client.batches.page().batches} == set(made)
    assert [view.batch_id for view in client.batches.page(status="succeeded").batches] == made[:1]
    seen, cursor = [], None
    while True:
        page = client.batches.page(limit=1, cursor=cursor)
        seen += [view.batch_id for view in page.batches]
        if (cursor := page.next_cursor) is None:
            break
    assert sorted(seen) == sorted(made)
    ids = client.enqueue_many({"type": "email", "payload": {}, "batch": made[1]} for _ in range(3))
    assert {job.job_id for job in client.batches.jobs(made[1], status="pending").jobs} == set(ids)


def test_a_batch_moves_with_its_jobs(client: Client, redis_url: str, namespace: str) -> None:
    with client.batch(on_complete=REPORT, name="moved") as batch:
        batch.enqueue_many({"type": "email", "payload": {}, "queue": queue} for queue in ("mails", "files"))
    worker = SeedingWorker(client, "mails")
    worker.complete(worker.fetch())
    settle(client)
    stream = io.BytesIO()
    export_to(client.server, stream, client.server.queues(), (), lambda jobs, ids: None)
    with Client(redis_url, namespace=f"{namespace}-2") as target:
        for _ in range(2):
            Importer(target.server).run(io.BytesIO(stream.getvalue()), lambda jobs, end: None)
        assert counts(target.batches.get(batch.id)) == (2, 1, 1, 0)
        worker = SeedingWorker(target, "files")
        worker.complete(worker.fetch())
        settle(target)
        view = target.batches.get(batch.id)
        assert (view.name, view.status) == ("moved", "succeeded")
        assert target.job(str(view.callbacks["complete"])).type == "report"


def test_a_batch_of_asyncio(redis_url: str, namespace: str) -> None:
    async def main() -> BatchView:
        async with AsyncClient(redis_url, namespace=namespace) as client:
            async with client.batch(name="async") as batch:
                await batch.enqueue("email", {}, queue="mails")
                await batch.enqueue_many([{"type": "email", "payload": {}}])
            return await client.batches.get(batch.id)

    view = asyncio.run(main())
    assert (view.status, counts(view)) == ("running", (2, 2, 0, 0))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"on_complete": {"type": "report", "after": [new_job_id()]}}, "/on_complete/after"),
        ({"on_success": {"type": "Not A Type"}}, "/on_success/type"),
        ({"on_failure": {"type": "report", "recurring": {"cron_expression": "@daily"}}}, "/on_failure/recurring"),
        ({"name": "a\nb"}, "/name"),
        ({"queue": "no queue"}, "/queue"),
        ({"retention": "long"}, "/retention"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_an_invalid_batch_is_rejected_with_its_field(client: Client, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as refused, client.batch(**options):
        pass
    assert refused.value.field == field
