"""purge: waiting or dead jobs are deleted, a limited number a call."""

import pytest


def seed(lab, state, count=3):
    if state == "pending":
        return lab.seed_pending(count)
    if state == "scheduled":
        return [lab.enqueue(due="+5000") for _ in range(count)]
    return [lab.seed_retrying() if state == "retrying" else lab.seed_failed() for _ in range(count)]


STATES = ["pending", "scheduled", "retrying", "failed"]


@pytest.mark.parametrize("state", STATES)
def test_all_of_one_state_go_and_no_others(lab, state):
    ids = {each: seed(lab, each) for each in reversed(STATES)}
    assert [purged.jobs for purged in lab.run_twice(lab.queue.purge(state))] == [3, 0]
    for each, of_state in ids.items():
        assert [lab.state(job_id) for job_id in of_state] == [None if each == state else each] * 3
    assert lab.totals()["purged"] == 3


@pytest.mark.parametrize("state", STATES)
def test_a_limit_leaves_the_rest(lab, state):
    seed(lab, state)
    assert [lab.run(lab.queue.purge(state, 2)).jobs for _ in range(3)] == [2, 1, 0]


def test_what_is_left_of_pending_can_be_fetched(lab):
    ids = lab.seed_pending(3)
    lab.run(lab.queue.purge("pending", 1))
    assert lab.standing("next") == [ids[1]]


def test_running_jobs_stay(lab):
    job = lab.seed_processing()
    lab.seed_pending(2)
    assert lab.run(lab.queue.purge("pending")).jobs == 2
    assert lab.complete(job) == "OK"


def test_throttled_jobs_go_too(lab):
    lab.run(lab.queue.pause("email"))
    lab.seed_pending(3)
    lab.hire()
    assert lab.fetch(want=5) == []
    assert lab.run(lab.queue.purge("pending")).jobs == 3
    assert lab.standing("throttled:email:normal") == []


def test_ids_of_cancelled_jobs_in_a_list_are_not_counted(lab):
    ids = lab.seed_pending(1010)
    lab.run(lab.queue.cancel(ids[700]))
    assert lab.run(lab.queue.purge("pending", 2000)).jobs == 1009
    assert lab.tombstones() == {"normal": 0}
    assert lab.state(ids[700]) == "cancelled"


def test_children_are_told_and_unique_keys_freed(lab):
    parent = lab.enqueue(due="+5000", unique_key="k")
    fails = lab.enqueue(after=(parent,))
    runs = lab.enqueue(after=(parent,), on_parent_failure="run")
    lab.redis.zrem(lab.keys.scheduled, fails, runs)
    lab.run(lab.queue.purge("scheduled", 1))
    assert (lab.state(fails), lab.state(runs)) == ("failed", "pending")
    assert lab.standing("next") == [runs]
    assert not lab.redis.exists(lab.keys.prefix + "unique:k")


def test_children_that_it_sets_free_stay(lab):
    """They waited for what is purged, and shall run whatever becomes of it."""
    parents = lab.seed_pending(3)
    children = [lab.enqueue(after=(parent,), on_parent_failure="run") for parent in parents]
    lab.pass_time(1)
    first = lab.run(lab.queue.purge("pending", 2))
    rest = lab.run(lab.queue.purge("pending", 2, first.began))
    last = lab.run(lab.queue.purge("pending", 2, first.began))
    assert (first.jobs, rest.jobs, last.jobs) == (2, 1, 0)
    assert [lab.state(job_id) for job_id in children] == ["pending"] * 3
    assert lab.standing("next") + lab.standing("pending:normal") == children


def test_jobs_that_arrive_during_a_purge_are_kept(lab):
    lab.seed_pending(3)
    first = lab.run(lab.queue.purge("pending", 2))
    lab.pass_time(0.001)
    later = lab.seed_pending(2)
    assert lab.run(lab.queue.purge("pending", 100, first.began)).jobs == 1
    assert lab.standing("next") + lab.standing("pending:normal") == later


def test_a_job_requeued_at_the_head_hides_none_behind_it(lab):
    job = lab.seed_processing()
    lab.seed_pending(2)
    first = lab.run(lab.queue.purge("pending", 1))
    lab.lose()
    assert lab.run(lab.queue.purge("pending", 100, first.began)).jobs == 1
    assert lab.standing("next") == [job.id]


def test_jobs_that_wait_for_others_go_in_the_very_millisecond(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,))
    assert lab.run(lab.queue.purge("scheduled")).jobs == 1
    assert lab.state(child) is None
    assert lab.complete(parent) == "OK"


def test_a_child_that_fails_with_its_parent_is_counted(lab):
    child = lab.enqueue(after=(lab.enqueue(),))
    lab.run(lab.queue.purge("pending"))
    assert lab.state(child) == "failed"
    assert lab.totals()["failed:email:ParentFailed"] == 1


def test_a_job_without_a_record_in_next_does_not_stop_it(lab):
    gone, job_id = lab.enqueue(), lab.enqueue()
    lab.redis.delete(lab.keys.job(gone))
    assert lab.run(lab.queue.purge("pending")).jobs == 1
    assert lab.state(job_id) is None
    assert lab.tombstones() == {}
    lab.redis.hincrby(lab.keys.totals, "purged", 1)
