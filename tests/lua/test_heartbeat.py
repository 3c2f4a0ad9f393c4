"""heartbeat: a worker's lease is extended, unless it was taken away."""

import pytest

from tests.lua.lab import LEASE, failure


def test_it_extends_the_lease(lab):
    lab.hire(lease=10.0)
    assert lab.scores("workers") == {"w1": lab.now + 10_000}
    lab.pass_time(4)
    beat = lab.run_twice(lab.queue.heartbeat("w1", 10.0))[0]
    assert (beat.lost, beat.now, beat.cancelling) == (False, lab.now, [])
    assert lab.scores("workers") == {"w1": lab.now + 10_000}


def test_a_worker_that_never_took_a_lease_has_none(lab):
    first, again = lab.run_twice(lab.queue.heartbeat("w1", 10.0))
    assert (first.lost, again.lost) == (True, True)
    assert lab.scores("workers") == {}


def test_a_worker_that_was_rescued_from_is_told(lab):
    lab.hire()
    lab.lose()
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).lost


def test_a_first_one_that_is_repeated_after_the_lease_was_lost_does_not_revive_it(lab):
    """All that the worker fetched would be taken from it, as it is in the list of those that were lost."""
    lab.hire()
    lab.lose()
    assert lab.run(lab.queue.heartbeat("w1", 10.0, first=True)).lost
    assert lab.scores("workers") == {}


def test_an_expired_lease_that_was_not_revoked_is_extended(lab):
    job = lab.seed_processing()
    lab.pass_time(60)
    assert not lab.run(lab.queue.heartbeat("w1", 10.0)).lost
    assert lab.run(lab.queue.rescue(None, 0.0)).workers == []
    assert lab.complete(job) == "OK"


def test_it_returns_how_many_jobs_are_in_the_list(lab):
    lab.seed_pending(3)
    lab.hire()
    first, _ = lab.fetch(want=2)
    lab.hand_over()
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).listed == 3
    lab.complete(first)
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).listed == 2


def test_what_was_asked_to_be_cancelled_is_told_until_it_is_settled(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    for _ in range(2):
        assert lab.run(lab.queue.heartbeat("w1", 10.0)).cancelling == [job.id]
    lab.complete(job)
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).cancelling == []
    assert not lab.redis.exists(lab.keys.prefix + "cancelling:w1")


def test_a_job_that_ended_otherwise_and_is_tried_again_is_not_to_be_cancelled(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    lab.run(lab.queue.redrive([job.id]))
    assert [again.id for again in lab.fetch()] == [job.id]
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).cancelling == []


def test_a_job_that_another_worker_runs_meanwhile_is_not_told(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).cancelling == []


def test_each_worker_is_told_its_own(lab):
    first, second = lab.seed_processing("w1"), lab.seed_processing("w2")
    for job in (first, second):
        lab.run(lab.queue.cancel(job.id))
    assert lab.run(lab.queue.heartbeat("w2", 10.0)).cancelling == [second.id]


@pytest.mark.parametrize("how", ["heartbeat", "fetch"])
def test_a_job_delivered_on_an_emptied_server_is_requeued(lab, how):
    """Its blocking pop goes on there, though its lease is gone; so it is fenced by itself."""
    lab.hire()
    lab.redis.delete(lab.keys.workers)
    job_id = lab.enqueue()
    lab.hand_over()
    if how == "heartbeat":
        assert lab.run(lab.queue.heartbeat("w1", LEASE)).lost
    else:
        assert lab.run(lab.fetch_call()).lost
    assert lab.run(lab.queue.rescue(None, 0.0)).returned == 1
    lab.hire("w2")
    assert [job.id for job in lab.fetch("w2")] == [job_id]


def test_a_call_of_a_worker_fenced_long_ago_does_not_fence_it_again(lab):
    lab.hire()
    lab.lose()
    fenced = lab.scores("fenced")
    lab.pass_time(5)
    assert lab.run(lab.queue.heartbeat("w1", LEASE)).lost
    assert lab.scores("fenced") == fenced


def test_the_first_one_wakes_a_scheduler_and_no_other_does(lab):
    lab.hire()
    assert lab.alarm() == lab.now
    lab.redis.delete(lab.keys.alarm)
    lab.run(lab.queue.heartbeat("w1", 10.0))
    assert lab.alarm() is None


def test_a_job_that_another_worker_runs_by_now_is_not_to_be_stopped(lab):
    job = lab.seed_processing()
    lab.lose()
    lab.hire("w2")
    lab.fetch("w2")
    lab.hire("w3")
    cancelling = lab.keys.prefix + "cancelling:w3"
    lab.redis.sadd(cancelling, job.id)
    assert lab.run(lab.queue.heartbeat("w3", 10.0)).cancelling == []
    assert not lab.redis.exists(cancelling)
