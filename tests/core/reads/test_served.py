"""`require_worker`: a job is accepted only if a live worker serves its type and queue."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from gopher.testing import EagerClient

from gopher import AsyncClient, Client
from gopher.errors import NoWorker
from gopher.jobs.handlers import Handler, Registry
from gopher.jobs.submission import InvalidBatch, Submission, submission_of
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def worker(client: Client) -> SeedingWorker:
    worker = SeedingWorker(client)
    worker.show("email", "invoice", queues=["default", "mail"])
    SeedingWorker(client, name="seeder-2-abc").show("resize", queues=["media"])
    return worker


def refusal(client: Client, job_type: str, queue: str = "default") -> NoWorker:
    with pytest.raises(NoWorker) as caught:
        client.enqueue(job_type, {}, queue=queue, require_worker=True)
    return caught.value


def test_a_job_that_a_worker_serves_is_stored_as_any_other(client: Client, worker: SeedingWorker) -> None:
    job_id = client.enqueue("email", {}, queue="mail", require_worker=True)
    record = client.server.client.hgetall(client.server.keys.for_queue("mail").job(job_id))
    assert not [name for name in record if b"worker" in name or b"require" in record[name]]


@pytest.mark.parametrize(
    ("job_type", "queue", "field", "said"),
    [
        ("emial", "default", "/type", "no live worker has a handler for 'emial': did you mean 'email'?"),
        ("zzz", "default", "/type", "handler for 'zzz': live workers serve email, invoice, resize"),
        ("email", "mial", "/queue", "serves 'email' in queue 'mial': did you mean 'mail'?"),
        ("resize", "default", "/queue", "serves 'resize' in queue 'default': live workers serve media"),
    ],
)
def test_what_no_worker_serves_is_refused_with_what_may_have_been_meant(
    client: Client, worker: SeedingWorker, job_type: str, queue: str, field: str, said: str
) -> None:
    error = refusal(client, job_type, queue)
    assert error.field == field
    assert said in error.details
    assert client.stats().queue_size == 0


def test_without_any_worker_the_error_says_so(client: Client) -> None:
    assert "no worker is running" in refusal(client, "email").details


def test_a_batch_names_each_and_stores_none(client: Client, worker: SeedingWorker) -> None:
    jobs = [{"type": name, "payload": {}, "require_worker": name != "other"} for name in ("email", "emial", "other")]
    with pytest.raises(InvalidBatch) as caught:
        client.enqueue_many(jobs)  # type: ignore[arg-type]
    assert [(index, type(error)) for index, error in caught.value.errors] == [(1, NoWorker)]
    assert client.stats().queue_size == 0


def test_a_dry_run_and_asyncio_say_the_same(
    client: Client, worker: SeedingWorker, redis_url: str, namespace: str
) -> None:
    submission: Submission = submission_of({"type": "emial", "payload": {}, "require_worker": True})
    with pytest.raises(NoWorker, match="did you mean 'email'"):
        client.dry_run_submission(submission)

    async def main() -> None:
        async with AsyncClient(redis_url, namespace=namespace) as other:
            assert await other.enqueue("email", {}, require_worker=True)
            with pytest.raises(NoWorker, match="did you mean 'email'"):
                await other.enqueue("emial", {}, require_worker=True)

    asyncio.run(main())


def test_an_eager_client_is_its_own_worker(redis_url: str) -> None:
    handlers = Registry()
    handlers.add(Handler("email", lambda _job, _payload: None, payload_type=Any))
    with EagerClient(redis_url, registry=handlers) as eager:
        assert eager.job(eager.enqueue("email", {}, require_worker=True)).status == "completed"
