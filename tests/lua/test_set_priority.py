"""set_priority: a waiting job goes behind those that wait with its new priority."""

import pytest

from gopher.jobs.job import new_job_id


def test_a_pending_job_goes_behind_the_others_of_its_new_priority(lab):
    first, second, third = lab.seed_pending(3)
    urgent = lab.seed_pending(2, priority="high")
    assert lab.run_twice(lab.queue.set_priority(second, "high")) == ("OK", "OK")
    assert lab.standing("pending:high") == [*urgent, second]
    assert lab.standing("pending:normal") == [third]
    lab.hire()
    assert [job.id for job in lab.fetch(want=5)] == [first, *urgent, second, third]


def test_the_head_of_the_queue_makes_room_for_the_next(lab):
    first, second = lab.seed_pending(2)
    assert lab.run_twice(lab.queue.set_priority(first, "low")) == ("OK", "OK")
    assert lab.standing("next") == [second]
    assert lab.standing("pending:low") == [first]


@pytest.mark.parametrize("index", [1, 250, 1100, 2300])
def test_a_job_in_a_long_list_starts_once_with_its_new_priority(lab, index):
    for _ in range(24):
        lab.pass_time(1)
        lab.seed_pending(100)
    ids = lab.standing("next") + lab.standing("pending:normal")
    assert lab.run_twice(lab.queue.set_priority(ids[index], "high")) == ("OK", "OK")
    assert lab.tombstones() == {"normal": 1}
    assert ids[index] not in lab.standing("pending:normal")
    lab.hire()
    lab.run(lab.queue.heartbeat("w1", 600.0))
    started = [job.id for job in lab.fetch(want=2400)]
    assert sorted(started) == sorted(ids)
    assert lab.tombstones() == {"normal": 0}


@pytest.mark.parametrize("place", ["scheduled", "retrying"])
def test_a_job_that_waits_for_its_time_goes_on_waiting(lab, place):
    job_id = lab.seed_retrying(5.0) if place == "retrying" else lab.enqueue(due="+5000")
    before = lab.scores(place)
    assert lab.run_twice(lab.queue.set_priority(job_id, "high")) == ("OK", "OK")
    assert (lab.scores(place), lab.record(job_id)["priority"]) == (before, "high")
    lab.pass_time(5)
    lab.run(lab.queue.promote())
    assert lab.standing("next") == [job_id]


def test_a_throttled_job_goes_on_waiting_for_its_limit(lab):
    lab.run(lab.queue.pause("email"))
    first, second = lab.seed_pending(2)
    lab.hire()
    assert lab.fetch(want=2) == []
    assert lab.run_twice(lab.queue.set_priority(second, "high")) == ("OK", "OK")
    assert (lab.standing("throttled:email:normal"), lab.standing("throttled:email:high")) == ([first], [second])
    assert lab.redis.hgetall(lab.keys.parked_jobs) == {b"normal": b"1", b"high": b"1"}
    lab.run(lab.queue.resume("email"))
    lab.run(lab.queue.promote())
    assert [job.id for job in lab.fetch(want=2)] == [second, first]


def test_a_job_that_a_worker_has_just_been_handed_keeps_its_priority(lab):
    job_id = lab.enqueue()
    lab.hire()
    assert lab.hand_over() == job_id
    assert lab.run_twice(lab.queue.set_priority(job_id, "high")) == ("STARTING", "STARTING")
    assert lab.record(job_id)["priority"] == "normal"


def test_what_does_not_wait_stays_as_it_is(lab):
    done, running = lab.seed_completed(), lab.seed_processing()
    for job_id, state in ((done, "completed"), (running.id, "processing")):
        assert lab.run_twice(lab.queue.set_priority(job_id, "low")) == (state, state)
    assert lab.run(lab.queue.set_priority(new_job_id(), "low")) == "MISSING"
