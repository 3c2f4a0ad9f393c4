"""Unique and idempotent jobs, jobs that wait for others, and jobs that must not run too late."""

import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from gopher.base.times import from_rfc3339
from gopher.errors import InvalidJob
from gopher.jobs.job import job_id_from
from gopher.jobs.prepare import prepare, prepare_batch, prepare_fields
from gopher.jobs.submission import Submission, parse_batch
from gopher.queue.idempotency import IdempotencyMismatch, request_for
from tests.helpers import wait_until


def test_fifty_submissions_with_one_unique_key_are_one_job(system):
    client = system.client
    with ThreadPoolExecutor(50) as pool:
        ids = set(pool.map(lambda number: client.enqueue("work", {"n": number}, unique_key="one"), range(50)))
    assert len(ids) == 1
    assert client.stats().queue_size == 1


def test_fifty_repeats_of_a_request_are_one_job(system):
    client = system.client
    request = request_for("key", b"body", 1_800_000_000_000)

    def submit(_: int) -> str:
        job = prepare(Submission(type="work", payload=msgspec.Raw(b"{}")))
        return client.store([job], request=request)[0].job_id

    with ThreadPoolExecutor(50) as pool:
        assert len(set(pool.map(submit, range(50)))) == 1
    assert client.stats().queue_size == 1
    with pytest.raises(IdempotencyMismatch):
        client.store(
            [prepare(Submission(type="work", payload=msgspec.Raw(b"{}")))], request=request_for("key", b"?", 1)
        )


@pytest.mark.parametrize("end", ["completed", "dead", "cancelled", "stopped", "expired", "purged"])
def test_a_unique_key_is_free_again_when_its_job_ends(system, ended, end):
    client = system.client
    job_type, payload = "fails" if end == "dead" else "work", {"seconds": 20 if end == "stopped" else 0}
    # Not before the next job comes, on a busy machine neither.
    more = {"expires_in": "3s"} if end == "expired" else {}
    first = client.enqueue(job_type, payload, unique_key="k", max_retries=0, **more)
    assert client.enqueue(job_type, {}, unique_key="k") == first
    if end == "cancelled":
        client.cancel(first)
    elif end == "purged":
        client.purge("default", "pending")
    elif end == "expired":
        # Nobody works, so nobody has passed over it: it has ended all the same.
        wait_until(lambda: client.job(first).status == "expired")
    else:
        system.workers(1)
        if end == "stopped":
            wait_until(lambda: client.job(first).status == "processing")
            assert client.enqueue("work", {}, unique_key="k") == first
            client.cancel(first)
        ended([first])
    assert client.enqueue(job_type, {}, unique_key="k") != first


def test_a_fan_out_and_fan_in_is_one_batch(system, ended):
    client = system.client
    system.start("scheduler")
    entries = [{"type": "work", "payload": {"value": number, "seconds": 0.05}} for number in range(5)]
    entries.append({"type": "collect", "payload": {}, "after": [0, 1, 2, 3, 4]})  # type: ignore[dict-item]
    jobs = prepare_batch(parse_batch(msgspec.json.encode({"jobs": entries})))
    ids = [stored.job_id for stored in client.store(jobs)]
    # Nobody works yet: the others have not ended.
    assert client.job(ids[-1]).status == "scheduled"
    system.workers(2)
    assert ended(ids) == ["completed"] * 6
    assert bytes(client.job(ids[-1]).result) == b"[0,1,2,3,4]"


def test_a_child_fails_with_its_parent_and_takes_its_own_along(system, ended):
    client = system.client
    system.workers(1)
    parent = client.enqueue("fails", {}, max_retries=0)
    child = client.enqueue("work", {}, after=[parent])
    grandchild = client.enqueue("work", {}, after=[child])
    stubborn = client.enqueue("work", {}, after=[parent], on_parent_failure="run")
    assert ended([parent, child, grandchild, stubborn]) == ["failed", "failed", "failed", "completed"]
    assert b"ParentFailed" in bytes(client.job(grandchild).error)


@pytest.mark.parametrize("end", ["cancelled", "purged", "expired"])
def test_a_parent_that_never_ran_has_not_completed(system, ended, end):
    client = system.client
    parent = client.enqueue("work", {}, expires_in="1s" if end == "expired" else None)
    child = client.enqueue("work", {}, after=[parent])
    stubborn = client.enqueue("collect", {}, after=[parent], on_parent_failure="run")
    if end == "cancelled":
        client.cancel(parent)
    elif end == "purged":
        client.purge("default", "pending")
    else:
        wait_until(lambda: client.job(parent).status == "expired")
    system.workers(1)
    assert ended([child]) == ["failed"]
    assert bytes(client.wait(stubborn, 40).result) == b"[null]"


def test_a_parent_that_has_ended_already_counts(system, ended):
    client = system.client
    system.workers(1)
    parent = client.enqueue("work", {"value": 7})
    ended([parent])
    child = client.enqueue("collect", {}, after=[parent])
    assert ended([child]) == ["completed"]
    assert bytes(client.job(child).result) == b"[7]"


def test_an_unknown_parent_is_refused_and_nothing_stored(system):
    with pytest.raises(InvalidJob, match="to wait for"):
        system.client.enqueue("work", {}, after=["01a20cfe-d930-76df-bb12-fc8e5b5fed66"])
    assert system.client.stats().queue_size == 0


def test_a_job_that_is_not_started_in_time_never_runs(system, ended):
    client = system.client
    late = client.enqueue("work", {"key": "late"}, expires_in="50ms")
    wait_until(lambda: client.job(late).status == "expired")
    system.workers(1)
    assert ended([client.enqueue("work", {"key": "in"}, expires_in="1m")]) == ["completed"]
    assert [line.key for line in system.lines("work")] == ["in"]
    assert client.job(late).status == "expired"


def test_a_job_that_is_too_late_behind_a_limit_never_runs(system, ended):
    client = system.client
    client.flow.set_limit("work", "1/h", 1, None)
    system.start("scheduler")
    system.workers(1)
    assert ended([client.enqueue("work", {"key": "first"})]) == ["completed"]
    late = client.enqueue("work", {"key": "late"}, expires_in="1s")
    wait_until(lambda: client.job(late).status == "expired")
    client.flow.clear_limit("work")
    assert ended([client.enqueue("work", {"key": "next"})]) == ["completed"]
    wait_until(lambda: client.job(late).finished_at)
    assert [line.key for line in system.lines("work")] == ["first", "next"]


def test_the_time_for_retries_bounds_all_attempts_together(system, ended):
    client = system.client
    system.start("scheduler")
    system.workers(1)
    submitted = time.time()
    job_id = client.enqueue("tries_on", {}, max_retries=100, retry_for="5s")
    assert ended([job_id]) == ["failed"]
    job = client.job(job_id)
    assert len(system.lines("tries_on")) == job.attempts > 1
    # By the server's clock: when the handler of a busy machine writes it down is another matter.
    assert from_rfc3339(job.started_at) / 1000 <= submitted + 5 + 1
    assert b"retry_for" in bytes(job.error)


def submit_ahead(client, seconds, **fields):
    """Submit a job whose id says that it was made so much later, by the clock of the client, which may be wrong."""
    made = job_id_from(client.inspector.now() + seconds * 1000, "a client whose clock is wrong")
    client.store([prepare_fields({"payload": {}, "max_retries": 100, **fields}, job_id=made)])
    return made


def test_the_time_for_retries_is_not_over_early_for_a_client_whose_clock_is_behind(system):
    client = system.client
    system.start("scheduler")
    system.workers(1)
    job_id = submit_ahead(client, -86_400, type="tries_on", retry_for="30s")
    wait_until(lambda: client.job(job_id).attempts > 1)
    client.cancel(job_id)


def test_the_time_for_retries_is_not_over_late_for_a_client_whose_clock_is_ahead(system, ended):
    client = system.client
    system.start("scheduler")
    system.workers(1)
    job_id = submit_ahead(client, 86_400, type="fails", retry_for="1ms")
    assert ended([job_id]) == ["failed"]
    assert client.job(job_id).attempts == 1
    assert b"retry_for" in bytes(client.job(job_id).error)


def test_no_attempt_begins_after_the_time_for_retries(system, ended):
    client = system.client
    system.start("scheduler")
    system.workers(1)
    job_id = client.enqueue("fails", {}, max_retries=100, retry_for="1ms")
    assert ended([job_id]) == ["failed"]
    assert client.job(job_id).attempts == 1
    assert b"retry_for" in bytes(client.job(job_id).error)
