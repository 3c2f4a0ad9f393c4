"""The dead letter queue: what is shown, retried and deleted."""

import pytest

from gopher.client import Client
from gopher.errors import InvalidJob, JobConflict, JobNotFound
from gopher.job import new_job_id
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def bury(client, count, job_type="email", error="ValueError", queue="default"):
    """Store jobs and let each die of `error`; return their ids, the first one died first."""
    ids = [client.enqueue(job_type, {"n": number}, queue=queue) for number in range(count)]
    worker = SeedingWorker(client, queue)
    for job in worker.fetch(count):
        worker.dead_letter(job, error)
    return ids


def state(client, job_id, queue="default"):
    return client.inspector.state(queue, job_id)


def test_shows_dead_letters_newest_first_and_how_many_there_are(client):
    ids = bury(client, 5) + bury(client, 2, queue="mail")
    page = client.dead_letters.page(limit=3)
    rest = client.dead_letters.page(limit=10, cursor=page.next_cursor)
    assert page.total_count == rest.total_count == 7
    assert sorted(job.job_id for job in page.jobs + rest.jobs) == sorted(ids)
    assert page.jobs[0].error
    assert rest.next_cursor is None


def test_filters_by_type_and_by_class_of_error_and_counts_what_fits(client):
    bury(client, 3)
    (timed_out,) = bury(client, 1, error="SoftTimeout")
    (report,) = bury(client, 1, job_type="report_generation")
    by_error = client.dead_letters.page(error="SoftTimeout")
    by_type = client.dead_letters.page(job_type="report_generation")
    assert ([job.job_id for job in by_error.jobs], by_error.total_count) == ([timed_out], 1)
    assert ([job.job_id for job in by_type.jobs], by_type.total_count) == ([report], 1)
    assert client.dead_letters.page(job_type="email", error="ValueError").total_count == 3


def test_a_retried_dead_letter_keeps_its_id_and_history_and_starts_with_fresh_attempts(client):
    (job_id,) = bury(client, 1)
    client.dead_letters.retry(job_id)
    job = client.job(job_id)
    assert (job.status, job.attempts, len(job.history)) == ("pending", 0, 1)
    assert job.error is None


def test_says_that_a_job_is_not_there_or_not_dead(client):
    waiting = client.enqueue("email", {})
    for deed in (client.dead_letters.retry, client.dead_letters.discard):
        with pytest.raises(JobNotFound):
            deed(new_job_id())
        with pytest.raises(JobConflict, match="is pending"):
            deed(waiting)
    assert state(client, waiting) == "pending"


def test_a_discarded_dead_letter_is_gone(client):
    (job_id,) = bury(client, 1)
    client.dead_letters.discard(job_id)
    assert state(client, job_id) is None
    assert client.dead_letters.page().total_count == 0


def test_retries_all_in_chunks(client):
    ids = bury(client, 250)
    assert client.dead_letters.retry_all() == 250
    assert {state(client, job_id) for job_id in ids} == {"pending"}


def test_retries_only_what_fits_the_filters(client):
    kept = bury(client, 120) + bury(client, 1, job_type="report_generation", error="OSError")
    wanted = bury(client, 130, error="OSError")
    assert client.dead_letters.retry_all(job_type="email", error="OSError") == 130
    assert {state(client, job_id) for job_id in wanted} == {"pending"}
    assert {state(client, job_id) for job_id in kept} == {"failed"}


def test_a_limit_takes_the_oldest_first_over_all_queues(client):
    ids = bury(client, 10)
    other = bury(client, 5, queue="mail")
    assert client.dead_letters.retry_all(limit=4, queue="default") == 4
    assert [state(client, job_id) for job_id in ids].count("failed") == 6
    assert client.dead_letters.retry_all(limit=8) == 8
    assert client.dead_letters.page().total_count == 3
    assert len(other) == 5


def test_what_dies_again_meanwhile_is_not_retried_twice(client, monkeypatch):
    bury(client, 150)
    worker = SeedingWorker(client)
    run = client.server.run

    def run_and_die(call, **options):
        reply = run(call, **options)
        if call.script.name == "redrive":
            for job in worker.fetch(200):
                worker.dead_letter(job)
        return reply

    monkeypatch.setattr(client.server, "run", run_and_die)
    assert client.dead_letters.retry_all() == 150


def test_a_dead_letter_without_a_record_does_not_stop_the_others(client):
    ids = bury(client, 130)
    client.server.client.delete(client.server.keys.of("default").job(ids[0]))
    assert client.dead_letters.retry_all() == 129


def test_discards_all_that_fit(client):
    bury(client, 3)
    bury(client, 110, error="OSError")
    assert client.dead_letters.discard_all(error="OSError") == 110
    assert client.dead_letters.page().total_count == 3
    assert client.dead_letters.discard_all() == 3


def test_refuses_a_cursor_of_somebody_else(client):
    with pytest.raises(InvalidJob, match="cursor"):
        client.dead_letters.page(cursor="%%%")
