"""The pages of batches: progress, jobs, and what can be done to all of them."""

import pytest

from tests.app.conftest import EMAIL
from tests.dashboard.reading import Page


@pytest.fixture
def batch(client, queue, worker):
    """An open batch of two jobs, one of which has failed; its end was counted."""
    batch = client.batch(name="import", queue=queue, on_failure={"type": "report"}).__enter__()
    for _ in range(2):
        batch.enqueue("email", EMAIL, queue=queue)
    (job,) = worker.fetch()
    worker.dead_letter(job)
    client.server.run(client.server.queue(queue).count_jobs([(batch.id, job.id, "failed", 1, queue)]))
    return batch


def test_a_batch_is_listed_and_shown_with_its_jobs(read, client, queue, batch):
    text = read(f"/batches?queue={queue}").text
    assert "import" in text
    assert "1 of 2" in text
    shown = read(f"/batches/{batch.id}").text
    for words in ("open", "1 of 2", "not due", "not ended", "failed", "email"):
        assert words in shown
    (job,) = client.batches.jobs(batch.id, status="failed").jobs
    assert batch.id in read(f"/jobs/{job.job_id}").text


def test_it_is_sealed_retried_and_cancelled(press, client, batch):
    page = f"/batches/{batch.id}"
    press(page, "/seal")
    assert client.batches.get(batch.id).sealed_at is not None
    press(page, "/retry")
    assert press(page, "/cancel").status == 409
    client.server.run(client.server.queue(client.batches.get(batch.id).queue).continue_batches())
    press(page, "/cancel")
    assert client.batches.get(batch.id).cancelled_at is not None


def test_a_batch_that_is_gone_is_not_found(board):
    assert Page(board.get("/dashboard/batches/none-of-that-name")).status == 404
