"""requeue: a job is given back unfinished, its attempt not counted."""

import pytest

from gopher.queue.invariants import findings
from tests.lua.lab import new_job


def test_the_job_goes_before_all_others_of_its_priority(lab):
    job = lab.seed_processing()
    others = lab.seed_pending(2)
    assert lab.run(lab.queue.requeue("w1", job.id, job.token)) == "OK"
    assert lab.standing("next") == [job.id]
    assert lab.standing("pending:normal") == others


def test_one_of_another_priority_that_is_to_be_next_stays_that(lab):
    job = lab.seed_processing()
    (urgent,) = lab.seed_pending(1, priority="high")
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    assert (lab.standing("next"), lab.standing("pending:normal")) == ([urgent], [job.id])
    record = lab.record(job.id)
    assert (record["state"], record["attempts"], record["since"]) == ("pending", "0", str(lab.now))


def test_it_goes_before_less_urgent_ones_of_which_one_was_to_be_next(lab):
    urgent, other = (lab.seed_processing(priority=priority) for priority in ("high", "normal"))
    lab.run(lab.queue.requeue("w1", other.id, other.token))
    assert lab.standing("next") == [other.id]
    lab.run(lab.queue.requeue("w1", urgent.id, urgent.token))
    assert (lab.standing("next"), lab.standing("pending:normal")) == ([urgent.id], [other.id])


def test_it_is_the_next_when_nothing_else_waits(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    assert lab.standing("next") == [job.id]


def test_its_next_attempt_has_the_same_number(lab):
    job = lab.seed_processing()
    assert job.attempt == 1
    lab.run_twice(lab.queue.requeue("w1", job.id, job.token))
    (again,) = lab.fetch()
    assert again.attempt == 1


def test_a_job_with_a_delay_is_scheduled(lab):
    job = lab.seed_processing()
    assert lab.run_twice(lab.queue.requeue("w1", job.id, job.token, 5.0)) == ("OK", "ALREADY")
    assert lab.scores("scheduled") == {job.id: lab.now + 5000}
    assert lab.record(job.id)["due"] == str(lab.now + 5000)
    assert lab.alarm() == lab.now + 5000


def test_a_job_that_was_cancelled_meanwhile_is_cancelled(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    assert lab.run_twice(lab.queue.requeue("w1", job.id, job.token)) == ("OK", "ALREADY")
    assert lab.state(job.id) == "cancelled"
    assert lab.totals()["cancelled:email"] == 1
    assert lab.standing("next") == []


def test_in_a_paused_queue_it_waits_in_its_list(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.pause())
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    assert (lab.standing("next"), lab.standing("pending:normal")) == ([], [job.id])


WEIGHTS = {"a": 3, "b": 1, "c": 2}


@pytest.mark.parametrize("is_together", [True, False])
@pytest.mark.parametrize(("begun", "returned"), [(0, 1), (5, 2), (3, 9), (1, 50)])
@pytest.mark.parametrize("tenants", ["-", "a", "cab", "ab-", "-c"])
def test_jobs_of_tenants_that_return_in_the_reverse_order_come_again_in_the_same_one(
    lab, tenants, returned, begun, is_together
):
    for tenant, weight in WEIGHTS.items():
        lab.run(lab.queue.set_tenant(tenant, weight, None, None, None))
    lab.hire()
    lab.run(lab.queue.enqueue([new_job(tenant=tenant.strip("-")) for tenant in tenants for _ in range(10)]))
    if begun:
        lab.fetch(want=begun)

    def taken():
        want = range(1) if is_together else range(returned)
        return [job for _ in want for job in lab.fetch(want=returned if is_together else 1)]

    jobs = taken()
    assert len(jobs) == min(returned, 10 * len(tenants) - begun)
    for job in reversed(jobs):
        assert lab.run(lab.queue.requeue("w1", job.id, job.token)) == "OK"
    assert findings(lab.redis, lab.keys) == []
    assert [job.id for job in taken()] == [job.id for job in jobs]


def test_a_job_that_returns_alone_takes_no_turn_of_jobs_without_a_tenant(lab):
    lab.hire()
    ids = {}
    for name in ("a1", "b1", "1", "a2", "b2", "2"):
        ids[lab.enqueue(tenant=name[:-1])] = name
    first, second = lab.fetch(want=2)
    assert (ids[first.id], ids[second.id]) == ("a1", "1")
    lab.run(lab.queue.requeue("w1", first.id, first.token))
    assert [ids[job.id] for job in lab.fetch(want=5)] == ["b1", "a1", "2", "b2", "a2"]
