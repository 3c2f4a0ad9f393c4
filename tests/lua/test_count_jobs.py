"""count_jobs: each end of a job is counted once in its batch, whatever is delivered again or late."""

import itertools

import pytest


def events(lab):
    return [entry[3] for entry in lab.posted("reports")]


@pytest.mark.parametrize("state", ["completed", "cancelled", "expired", "deleted"])
def test_an_end_is_final(lab, state):
    batch_id = lab.open_batch()
    (job_id,) = lab.join(batch_id, 1)
    assert lab.run_twice(lab.queue.count_jobs([(batch_id, job_id, state, 0, "default")]))[0].news == 1
    for late in (("failed", 1), ("pending", 2), ("failed", 9), ("unstored", 0), ("completed", 0)):
        assert lab.count(batch_id, (job_id, *late)) == 0
    assert lab.counts(batch_id) == {state: 1}


def test_in_whatever_order_rounds_of_a_dead_letter_are_told_the_last_one_counts(lab):
    batch_id = lab.open_batch()
    rounds = [("failed", 1), ("pending", 2), ("failed", 3), ("completed", 0)]
    for many in (1, 2, 3, 4):
        for order in itertools.permutations(rounds[:many]):
            (job_id,) = lab.join(batch_id, 1)
            lab.count(batch_id, *((job_id, *each) for each in order * 2))
            counted = lab.redis.hget(lab.keys.batch_jobs(batch_id), job_id).decode()
            assert counted.split(" ")[:2] == list(map(str, rounds[many - 1]))


def test_a_job_that_was_stored_after_all_counts_again(lab):
    batch_id = lab.open_batch()
    (job_id,) = lab.join(batch_id, 1)
    lab.run(lab.queue.leave_batch(batch_id, [job_id]))
    assert lab.count(batch_id, (job_id, "completed", 0)) == 1
    assert lab.counts(batch_id) == {"completed": 1}


def test_callbacks_are_posted_once_when_all_have_ended_and_success_after_retries(lab):
    batch_id = lab.open_batch("complete", "success", "failure")
    good, bad = lab.join(batch_id, 2)
    lab.count(batch_id, (good, "completed", 0), (bad, "failed", 1))
    assert events(lab) == []
    lab.run(lab.queue.seal_batch(batch_id))
    assert events(lab) == ["failure", "complete"]
    lab.count(batch_id, (bad, "pending", 2))
    assert lab.redis.pttl(lab.keys.batch(batch_id)) == -1
    lab.count(batch_id, (bad, "failed", 3))
    assert events(lab) == ["failure", "complete"]
    lab.count(batch_id, (bad, "pending", 4), (bad, "completed", 0), (bad, "completed", 0))
    assert events(lab) == ["failure", "complete", "success"]
    assert lab.counts(batch_id) == {"completed": 2}


def test_ends_of_a_batch_that_is_gone_are_told_to_the_caller(lab):
    batch_id = lab.open_batch()
    (job_id,) = lab.join(batch_id, 1)
    counted = lab.run(lab.queue.count_jobs([(each, job_id, "completed", 0, "mails") for each in ("gone", batch_id)]))
    assert (counted.news, counted.missing) == (1, ["gone"])


def test_a_job_that_the_batch_does_not_know_changes_nothing(lab):
    batch_id = lab.open_batch()
    assert lab.count(batch_id, ("stranger", "completed", 0)) == 0
    assert lab.counts(batch_id) == {}


def test_a_job_that_is_on_its_way_is_cancelled_with_its_batch_where_it_arrives(lab):
    batch_id = lab.open_batch()
    (job_id,) = lab.join(batch_id, 1)
    lab.redis.hset(lab.keys.batch(batch_id), "cancelled_at", lab.now)
    lab.run(lab.queue.count_jobs([(batch_id, job_id, "moved", 1, "mails")]))
    assert lab.posted("mails") == []
    lab.run(lab.queue.count_jobs([(batch_id, job_id, "moved", 2, "mails")]))
    ((kind, about, *_),) = lab.posted("mails")
    assert (kind, about) == ("cancel", batch_id)


def test_a_callback_is_told_how_many_jobs_of_its_batch_are_in_which_state(lab):
    batch_id = lab.open_batch()
    lab.redis.hset(lab.keys.batch(batch_id), "callback", "completed,failed https://a.example 0")
    *stored, refused = lab.join(batch_id, 3)
    lab.run(lab.queue.leave_batch(batch_id, [refused]))
    lab.run(lab.queue.seal_batch(batch_id))
    lab.count(batch_id, *((job_id, "completed", 0) for job_id in stored))
    ((*_, in_states),) = lab.posted("@webhooks")
    assert {*in_states.split(",")} == {"completed 2", "pending 0"}
