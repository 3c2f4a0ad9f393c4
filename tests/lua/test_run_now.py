"""run_now: a job that waits for its time, or for a limit, goes to the head of its priority."""

import pytest

from gopher.jobs.job import new_job_id
from gopher.queue.invariants import findings


@pytest.mark.parametrize("place", ["scheduled", "retrying"])
def test_a_job_that_waits_for_its_time_is_the_next_to_start(lab, place):
    job_id = lab.seed_retrying() if place == "retrying" else lab.enqueue(due="+5000")
    _first, second = lab.seed_pending(2)
    assert lab.run_twice(lab.queue.run_now(job_id)) == ("OK", "OK")
    assert lab.standing("pending:normal") == [job_id, second]
    record = lab.record(job_id)
    assert (record["state"], record["since"], record.get("due")) == ("pending", str(lab.now), None)
    assert lab.standing(place) == []


def test_a_throttled_job_starts_as_the_first_of_its_type_once_the_limit_allows_it(lab):
    lab.run(lab.queue.pause("email"))
    first, _second, third = lab.seed_pending(3)
    lab.hire()
    assert lab.fetch(want=3) == []
    assert lab.run_twice(lab.queue.run_now(third)) == ("OK", "OK")
    assert lab.standing("throttled:email:normal")[0] == first
    assert lab.redis.hget(lab.keys.parked_jobs, "normal") == b"2"
    assert lab.fetch() == []
    lab.run(lab.queue.resume("email"))
    lab.run(lab.queue.promote())
    assert [job.id for job in lab.fetch(want=2)] == [third, first]


@pytest.mark.parametrize("act", ["run_now", "set_priority", "depart"])
def test_a_throttled_job_whose_limit_has_become_one_for_each_key_is_found_too(lab, act):
    lab.run(lab.queue.pause("email"))
    job_id, *_ = [lab.enqueue(limit_key=key) for key in "aba"]
    lab.hire()
    assert lab.fetch(want=3) == []
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None, True))
    arguments = {"run_now": (), "set_priority": ("low",), "depart": ("other", "m")}[act]
    lab.run(getattr(lab.queue, act)(job_id, *arguments))
    assert findings(lab.redis, lab.keys) == []
    lab.run(lab.queue.resume("email"))
    for _ in range(4):
        lab.run(lab.queue.promote())
        lab.pass_time(2)
    assert len({job.id for _ in range(3) for job in lab.fetch(want=3)}) >= 2
    assert findings(lab.redis, lab.keys) == []


def test_a_job_far_down_a_long_list_of_throttled_ones_leaves_it_as_well(lab):
    lab.run(lab.queue.pause("email"))
    ids = lab.seed_pending(1203)
    lab.hire()
    while lab.redis.llen(lab.keys.parked("email", "normal")) < 1203:
        lab.fetch(want=100)
    assert lab.run(lab.queue.run_now(ids[600])) == "OK"
    assert ids[600] not in lab.standing("throttled:email:normal")
    lab.run(lab.queue.resume("email"))
    started: list[str] = []
    while len(started) < 1203:
        lab.run(lab.queue.promote(2000))
        lab.run(lab.queue.heartbeat("w1", 60.0))
        jobs = lab.fetch(want=100)
        started += [job.id for job in jobs]
        assert jobs
    assert started[0] == ids[600]
    assert sorted(started) == sorted(ids)


def test_a_pending_job_stays_where_it_is(lab):
    first, second, third = lab.seed_pending(3)
    assert lab.run_twice(lab.queue.run_now(third)) == ("OK", "OK")
    assert lab.standing("next") + lab.standing("pending:normal") == [first, second, third]


def test_a_job_that_waits_for_others_goes_on_waiting(lab):
    child = lab.enqueue(after=(lab.enqueue(due="+5000"),))
    assert lab.run_twice(lab.queue.run_now(child)) == ("PARENTS", "PARENTS")
    assert lab.state(child) == "scheduled"


def test_what_does_not_wait_stays_as_it_is(lab):
    done, dead = lab.seed_completed(), lab.seed_failed()
    running = lab.seed_processing()
    for job_id, state in ((done, "completed"), (dead, "failed"), (running.id, "processing")):
        assert lab.run_twice(lab.queue.run_now(job_id)) == (state, state)
    assert lab.run(lab.queue.run_now(new_job_id())) == "MISSING"
