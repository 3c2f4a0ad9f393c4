"""Acting on waiting jobs of tenants: they are found in the lists of their tenants, and stay jobs of these."""

import pytest

from gopher.queue.invariants import findings
from tests.lua.lab import new_job
from tests.lua.test_continue_cancellations import cancel_all, states


def store(lab, tenant, count, **options):
    jobs = [new_job(tenant=tenant, **options) for _ in range(count)]
    for at in range(0, count, 1000):
        lab.run(lab.queue.enqueue(jobs[at : at + 1000]))
    return [job.id for job in jobs]


def started(lab, want):
    return [job.id for job in lab.fetch(want=want)]


@pytest.fixture
def busy(lab):
    """One job without a tenant is the next one, so that all others are in lists."""
    lab.hire()
    lab.seed_pending(1)
    return lab


def test_a_job_that_is_run_now_is_the_first_of_its_tenant(busy):
    first = store(busy, "A", 2)
    other = store(busy, "B", 1)
    (later,) = store(busy, "A", 1, due="+5000")
    assert busy.run_twice(busy.queue.run_now(later)) == ("OK", "OK")
    assert started(busy, 6)[1:] == [later, *other, *first]


@pytest.mark.parametrize("count", [1, 2, 1500])
def test_a_job_with_another_priority_stays_one_of_its_tenant(busy, count):
    ids = store(busy, "A", count)
    chosen = ids[count // 2]
    (urgent,) = store(busy, "B", 1, priority="high")
    assert busy.run_twice(busy.queue.set_priority(chosen, "high")) == ("OK", "OK")
    assert busy.standing("pending_of:high:A") == [chosen]
    assert findings(busy.redis, busy.keys) == []
    rest = [job_id for job_id in ids if job_id != chosen]
    order = [job_id for _ in range(count // 100 + 1) for job_id in started(busy, 110)]
    assert order[1:3] == [urgent, chosen]
    assert order[3:] == rest


@pytest.mark.parametrize("count", [1, 2, 1500])
def test_a_job_of_a_tenant_leaves_its_list_when_it_is_moved_or_cancelled(busy, count):
    ids = store(busy, "A", count)
    moved, cancelled = ids[count // 2], ids[-1]
    assert busy.run(busy.queue.depart(moved, "other", "m"))[0] == b"OK"
    assert findings(busy.redis, busy.keys) == []
    assert busy.run(busy.queue.cancel(cancelled)) == ("MISSING" if cancelled == moved else "CANCELLED")
    assert findings(busy.redis, busy.keys) == []
    rest = [job_id for job_id in ids if job_id not in (moved, cancelled)]
    assert [job_id for _ in range(count // 100 + 1) for job_id in started(busy, 110)][1:] == rest


def test_all_jobs_of_many_tenants_are_cancelled_and_no_others(busy):
    ids = [job_id for at in range(30) for job_id in store(busy, f"t{at}", 3)] + store(busy, "long", 1200)
    scheduled = store(busy, "A", 1, due="+5000")
    others = store(busy, "A", 2, job_type="sms")
    busy.run(busy.queue.set_tenant("A", 1, None, None, 1))
    resting = store(busy, "A", 3)
    first, running = started(busy, 2)
    progress = cancel_all(busy, ["scheduled", "pending"], "email", work=100)
    left = [job_id for job_id in [*ids, *scheduled, *resting] if job_id not in (first, running)]
    assert states(busy, left) == {"cancelled"}
    assert progress["cancelled"] == len(left)
    assert [busy.state(job_id) for job_id in others] == ["pending"] * 2
    assert findings(busy.redis, busy.keys) == []


@pytest.mark.parametrize("is_busy", [True, False])
@pytest.mark.parametrize("tenants", [("A", "B"), ("A", "B", "A"), ("A", "B", "C"), ("", "B"), ("A", "")])
def test_a_job_that_is_replaced_within_one_call_is_one_of_the_last_tenant(lab, is_busy, tenants):
    lab.hire()
    lab.seed_pending(int(is_busy))
    jobs = [new_job(tenant=tenant, unique_key="k", unique_mode="replace") for tenant in tenants]
    beside = [new_job(tenant=tenant) for tenant in tenants]
    lab.run(lab.queue.enqueue([*jobs, *beside]))
    assert lab.record(jobs[0].id).get("tenant", "") == tenants[-1]
    assert findings(lab.redis, lab.keys) == []
    assert sorted(started(lab, 10)[is_busy:]) == sorted([jobs[0].id, *(job.id for job in beside)])
    assert findings(lab.redis, lab.keys) == []


@pytest.mark.parametrize("tenants", [("A", "B"), ("A", ""), ("", "A")])
def test_a_job_that_is_replaced_by_the_only_other_of_its_call_can_run(lab, tenants):
    lab.hire()
    jobs = [new_job(tenant=tenant, unique_key="k", unique_mode="replace") for tenant in tenants]
    lab.run(lab.queue.enqueue(jobs))
    assert findings(lab.redis, lab.keys) == []
    assert started(lab, 2) == [jobs[0].id]


@pytest.mark.parametrize("due", ["", "+5000"])
@pytest.mark.parametrize(("before", "after"), [("A", "A"), ("A", "B"), ("", "B"), ("A", "")])
def test_a_job_that_is_replaced_is_one_of_the_last_tenant(busy, before, after, due):
    lead, other = store(busy, before, 1), store(busy, after, 1)
    (job_id,) = store(busy, before, 1, due=due, unique_key="k")
    store(busy, before, 1)
    assert store(busy, after, 1, unique_key="k", unique_mode="replace") != [job_id]
    assert busy.record(job_id).get("tenant", "") == after
    place = f"pending_of:normal:{after}" if after else "pending:normal"
    assert job_id in busy.standing(place)
    assert findings(busy.redis, busy.keys) == []
    assert sorted(started(busy, 10)[1:]).count(job_id) == 1
    assert {*lead, *other}.isdisjoint([job_id])
