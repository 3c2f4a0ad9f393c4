"""What an import makes of jobs that wait for jobs of other queues, and for batches."""

import io

import pytest

from gopher.admin.transfer.export_file import export_to
from gopher.admin.transfer.importer import Importer
from gopher.client import Client
from tests.core.admin.test_batches import settle
from tests.seeding import SeedingWorker


def move(source: Client, target: Client, *queues: str) -> None:
    """Export the queues, all by default, and import them."""
    stream = io.BytesIO()
    export_to(source.server, stream, queues or source.server.queues(), (), lambda jobs, ids: None)
    Importer(target.server).run(io.BytesIO(stream.getvalue()), lambda jobs, end: None)
    settle(target)


@pytest.mark.parametrize("on_parent_failure", ["fail", "run"])
@pytest.mark.parametrize("queue", ["a", "z"])
def test_a_job_waits_for_one_of_another_queue_and_finds_its_result(
    source: Client, target: Client, queue: str, on_parent_failure: str
) -> None:
    parent = source.enqueue("email", {}, queue=queue)
    child = source.enqueue("email", {}, queue="m", after=[parent], on_parent_failure=on_parent_failure)
    settle(source)
    move(source, target)
    assert target.job(child).status == "scheduled"
    worker = SeedingWorker(target, queue)
    worker.complete(worker.fetch(), b'"result"')
    settle(target)
    (job,) = SeedingWorker(target, "m").fetch()
    assert (job.id, job.parents) == (child, {parent: b'"result"'})


def test_a_job_fails_with_one_of_another_queue(source: Client, target: Client) -> None:
    parent = source.enqueue("email", {}, queue="a")
    child = source.enqueue("email", {}, queue="m", after=[parent])
    settle(source)
    move(source, target)
    target.cancel(parent)
    settle(target)
    assert target.job(child).status == "failed"


def test_a_job_of_which_one_parent_has_ended_waits_for_the_others(source: Client, target: Client) -> None:
    ended, parent = (source.enqueue("email", {}, queue=queue) for queue in ("a", "b"))
    child = source.enqueue("email", {}, queue="m", after=[ended, parent])
    settle(source)
    there = SeedingWorker(source, "a")
    there.complete(there.fetch())
    settle(source)
    move(source, target)
    assert target.job(child).status == "scheduled"
    worker = SeedingWorker(target, "b")
    worker.complete(worker.fetch())
    settle(target)
    assert target.job(child).status == "pending"


def test_a_job_finds_the_results_of_other_queues_that_ended_before_the_export(source: Client, target: Client) -> None:
    parent = source.enqueue("email", {}, queue="a")
    children = [source.enqueue("email", {}, queue=queue, after=[parent]) for queue in ("m", "m", "n")]
    settle(source)
    there = SeedingWorker(source, "a")
    there.complete(there.fetch(), b'"result"')
    settle(source)
    move(source, target)
    jobs = [job for queue in ("m", "n") for job in SeedingWorker(target, queue).fetch(5)]
    assert {job.id: job.parents for job in jobs} == {child: {parent: b'"result"'} for child in children}


def test_a_job_waits_for_a_batch(source: Client, target: Client) -> None:
    with source.batch(queue="home") as batch:
        batch.enqueue("email", {}, queue="a")
    child = source.enqueue("email", {}, queue="m", after={"batch": batch.id})
    settle(source)
    move(source, target)
    assert target.job(child).status == "scheduled"
    worker = SeedingWorker(target, "a")
    worker.complete(worker.fetch())
    settle(target)
    assert target.job(child).status == "pending"


def test_a_job_fails_whose_parent_is_in_a_queue_that_is_not_imported(source: Client, target: Client) -> None:
    parent = source.enqueue("email", {}, queue="a")
    child = source.enqueue("email", {}, queue="m", after=[parent])
    settle(source)
    move(source, target, "m")
    assert target.job(child).status == "failed"
