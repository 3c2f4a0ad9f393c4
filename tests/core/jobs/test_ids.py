"""Ids of jobs: UUIDv7, which sort by the time at which they were made."""

import time
from uuid import UUID

import pytest

from gopher.jobs.job import created_ms, job_id_from, new_job_id, new_job_ids, queue_hint, with_hint


@pytest.mark.parametrize("make", [new_job_id, lambda: new_job_ids(3)[1]])
def test_an_id_is_a_uuid_of_version_7_made_now(make):
    before = time.time_ns() // 1_000_000
    ids = [make() for _ in range(200)]
    after = time.time_ns() // 1_000_000
    for job_id in ids:
        parsed = UUID(job_id)
        assert (str(parsed), parsed.version, parsed.variant) == (job_id, 7, "specified in RFC 4122")
        assert before <= created_ms(job_id) <= after


def test_every_bit_that_is_not_fixed_is_random():
    ids = [UUID(job_id).int for job_id in (*new_job_ids(300), *(new_job_id() for _ in range(300)))]
    ones, zeros = 0, 0
    for number in ids:
        ones, zeros = ones | number, zeros | ~number
    # Of the last 80 bits 4 are the version, 2 the variant and 12 the hint at the queue.
    assert (ones & zeros & (1 << 80) - 1).bit_count() == 62


def test_an_id_hints_at_its_queue_and_says_the_same_in_every_process():
    assert (queue_hint("default"), queue_hint("mail")) == ("0df", "c48")
    assert {job_id[-3:] for job_id in (new_job_id("mail"), *new_job_ids(5, "mail"))} == {queue_hint("mail")}
    assert {job_id[-3:] for job_id in (new_job_id(), *new_job_ids(5))} == {queue_hint("default")}
    job_id = new_job_id()
    moved = with_hint(job_id, "mail")
    assert (moved[:-3], moved[-3:]) == (job_id[:-3], queue_hint("mail"))
    assert str(UUID(moved)) == moved


def test_a_thousand_queues_share_few_hints():
    hints = [queue_hint(f"tenant-{number}") for number in range(1000)]
    assert max(map(hints.count, hints)) <= 6


def test_ids_that_are_made_together_ascend_however_far_apart_they_would_be(monkeypatch):
    monkeypatch.setattr("gopher.jobs.job.os.urandom", lambda count: b"\xff" * count)
    ids = new_job_ids(100_000)
    assert ids == sorted({str(UUID(job_id)) for job_id in ids})
    assert len(ids) == 100_000


@pytest.mark.parametrize("count", [0, 1, 2, 10_000, 300_000])
def test_ids_that_are_made_together_ascend_and_none_comes_twice(count):
    ids = new_job_ids(count)
    assert {len(job_id) for job_id in ids} <= {36}
    assert "--" not in "".join(ids)
    assert len(set(ids)) == count
    assert ids == sorted(ids)


def test_ids_that_are_made_later_sort_after_those_made_before():
    first = new_job_ids(100)
    moment = created_ms(first[0])
    while time.time_ns() // 1_000_000 <= moment:
        pass
    assert max(first) < min(new_job_ids(100))


def test_an_id_that_follows_from_a_text_is_the_same_in_every_version():
    made = job_id_from(1764376028000, "gopher nightly 1764376028000")
    # Schedulers of two versions may run side by side: one tick stays one job.
    assert made == "019acd01-a360-7165-938d-ab575ee70a16"
    assert created_ms(made) == 1764376028000
    assert (UUID(made).version, UUID(made).variant) == (7, "specified in RFC 4122")
