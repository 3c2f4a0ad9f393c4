"""cancel: a waiting job ends at once, wherever it stands; a running one is marked for its worker."""

import pytest

from gopher.jobs.job import new_job_id


def test_a_job_at_the_head_of_the_queue_ends_and_the_next_takes_its_place(lab):
    first, second = lab.seed_pending(2)
    assert lab.run_twice(lab.queue.cancel(first)) == ("CANCELLED", "cancelled")
    assert lab.standing("next") == [second]
    record = lab.record(first)
    assert (record["state"], record["finished"]) == ("cancelled", str(lab.now))
    assert lab.standing("finished") == [first]
    assert lab.totals()["cancelled:email"] == 1
    assert 3_590_000 < lab.redis.pttl(lab.keys.job(first)) <= 3_600_000


def test_a_job_in_a_short_list_leaves_it(lab):
    first, second, third = lab.seed_pending(3)
    assert lab.run_twice(lab.queue.cancel(second)) == ("CANCELLED", "cancelled")
    assert lab.standing("pending:normal") == [third]
    assert lab.tombstones() == {}
    assert lab.standing("next") == [first]


def test_a_job_in_a_long_list_stays_there_and_is_counted_as_dead(lab):
    ids = lab.seed_pending(1003)
    assert lab.run_twice(lab.queue.cancel(ids[500])) == ("CANCELLED", "cancelled")
    assert ids[500] in lab.standing("pending:normal")
    assert lab.tombstones() == {"normal": 1}


@pytest.mark.parametrize("place", ["scheduled", "retrying"])
def test_a_job_that_waits_for_its_time_leaves(lab, place):
    job_id = lab.seed_retrying() if place == "retrying" else lab.enqueue(due="+5000")
    assert lab.run_twice(lab.queue.cancel(job_id)) == ("CANCELLED", "cancelled")
    assert lab.standing(place) == []


def test_a_throttled_job_leaves(lab):
    lab.run(lab.queue.pause("email"))
    job_id = lab.enqueue()
    lab.hire()
    assert lab.fetch() == []
    assert lab.standing("throttled:email:normal") == [job_id]
    assert lab.run(lab.queue.cancel(job_id)) == "CANCELLED"
    assert lab.standing("throttled:email:normal") == []
    assert lab.tombstones() == {}


def test_a_running_job_is_marked_and_its_worker_told_at_the_heartbeat(lab):
    job = lab.seed_processing()
    assert lab.run_twice(lab.queue.cancel(job.id)) == ("CANCELLING", "CANCELLING")
    assert lab.state(job.id) == "processing"
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).cancelling == [job.id]


@pytest.mark.parametrize("fenced", [False, True])
def test_a_job_that_was_just_delivered_is_passed_over(lab, fenced):
    job_id = lab.enqueue()
    lab.hire()
    if fenced:
        # The blocking pop of a worker that is taken for dead was given a job.
        lab.lose()
    lab.hand_over()
    assert lab.run(lab.queue.cancel(job_id)) == "CANCELLED"
    assert lab.tombstones() == {}
    lab.run(lab.queue.rescue(None, 0.0))
    assert lab.standing("next") == []


def test_what_has_ended_stays_as_it_ended(lab):
    done, dead = lab.seed_completed(), lab.seed_failed()
    assert lab.run_twice(lab.queue.cancel(done)) == ("completed", "completed")
    assert lab.run_twice(lab.queue.cancel(dead)) == ("failed", "failed")


def test_a_job_that_is_not_there_is_missing(lab):
    assert lab.run_twice(lab.queue.cancel(new_job_id())) == ("MISSING", "MISSING")


def test_a_job_without_retention_is_gone(lab):
    job_id = lab.enqueue(retention=0, unique_key="k")
    assert lab.run_twice(lab.queue.cancel(job_id)) == ("CANCELLED", "MISSING")
    assert lab.record(job_id) == {}
    assert not lab.redis.exists(lab.keys.prefix + "unique:k")


def test_a_cancelled_job_without_a_record_in_a_long_list_is_passed_over(lab):
    lab.seed_pending(1001)
    job_id = lab.enqueue(retention=0)
    lab.run(lab.queue.cancel(job_id))
    assert lab.tombstones() == {"normal": 1}
    lab.hire()
    lab.run(lab.queue.heartbeat("w1", 60.0))
    assert job_id not in [job.id for job in lab.fetch(want=1002)]
    assert lab.tombstones() == {"normal": 0}


def test_children_are_told(lab):
    parent = lab.enqueue(due="+5000")
    fails = lab.enqueue(after=(parent,))
    runs = lab.enqueue(after=(parent,), on_parent_failure="run")
    lab.run(lab.queue.cancel(parent))
    assert (lab.state(fails), lab.state(runs)) == ("failed", "pending")
    assert lab.standing("next") == [runs]


def test_a_cancelled_child_is_not_brought_back_by_its_parent(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,))
    lab.run(lab.queue.cancel(child))
    lab.complete(parent)
    assert lab.state(child) == "cancelled"


def test_a_job_that_was_throttled_and_may_run_again_leaves_its_list(lab):
    lab.run(lab.queue.pause("email"))
    ids = lab.seed_pending(2)
    lab.hire()
    assert lab.fetch() == []
    lab.run(lab.queue.resume("email"))
    lab.run(lab.queue.promote())
    assert [lab.run(lab.queue.cancel(job_id)) for job_id in reversed(ids)] == ["CANCELLED", "CANCELLED"]
    assert lab.standing("pending:normal") + lab.standing("next") == []
    assert lab.tombstones() == {}
