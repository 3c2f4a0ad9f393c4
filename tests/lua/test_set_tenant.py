"""set_tenant, and what tenants get: turns by weight, and no more than their limits let them have."""

from collections import Counter

import pytest

from tests.lua.lab import new_job


def store(lab, tenant, count, **options):
    jobs = [new_job(tenant=tenant, **options) for _ in range(count)]
    for at in range(0, count, 1000):
        lab.run(lab.queue.enqueue(jobs[at : at + 1000]))
    return dict.fromkeys([job.id for job in jobs], tenant)


def served(lab, tenants, want, many, **options):
    """Return the tenants of the next `many` jobs in the order in which they are given, `want` with each fetch."""
    order = []
    while len(order) < many and (jobs := lab.fetch(want=want, **options)):
        order += [tenants[job.id] for job in jobs]
        for job in jobs:
            lab.complete(job)
    return "".join(order[:many])


@pytest.fixture
def hired(lab):
    lab.hire()
    return lab


@pytest.mark.parametrize("want", [1, 2, 3, 7, 128])
def test_jobs_of_a_tenant_that_comes_late_are_among_the_next(hired, want):
    tenants = store(hired, "A", 3000) | store(hired, "B", 5)
    assert served(hired, tenants, want, 12).count("B") == 5


@pytest.mark.parametrize("want", [1, 3, 8, 50])
@pytest.mark.parametrize("last", ["B", ""])
def test_shares_are_exact_in_every_window(hired, want, last):
    hired.run(hired.queue.set_tenant("A", 3, None, None, None))
    tenants = store(hired, "A", 300) | store(hired, last, 300)
    order = served(hired, {job: tenant or "B" for job, tenant in tenants.items()}, want, 201)
    # The first one went to `next` before there was another tenant.
    assert {order[at : at + 8].count("A") for at in range(1, 193)} == {6}


def test_tenants_take_turns_within_a_priority(hired):
    tenants = {}
    for name in "ABCD":
        tenants |= store(hired, name, 30, priority="high") | store(hired, name, 30)
    order = served(hired, tenants, 10, 90, order="hn", strict=False)
    assert {len(set(order[at : at + 10])) for at in range(0, 80, 10)} == {4}


def test_a_job_of_a_tenant_goes_to_an_idle_worker_at_once(hired):
    (job_id,) = store(hired, "A", 1)
    assert hired.standing("next") == [job_id]
    hired.hand_over()
    assert [job.id for job in hired.fetch()] == [job_id]
    assert hired.record(job_id)["tenant"] == "A"


def test_what_waits_leaves_nothing_behind(hired):
    tenants = {}
    for name in ("A", "B", ""):
        tenants |= store(hired, name, 5)
    assert Counter(served(hired, tenants, 2, 20)) == {"A": 5, "B": 5}
    assert not [key for key in hired.everything() if key.startswith(("ring", "pending", "tenant", "turns"))]


@pytest.mark.parametrize("tenants", [1, 50, 400])
def test_a_fetch_costs_as_many_commands_however_many_tenants_wait(hired, tenants):
    for at in range(400):
        store(hired, f"t{at % tenants}", 2)
    before = hired.redis.info("commandstats")
    assert len(hired.fetch(want=50)) == 50
    after = hired.redis.info("commandstats")
    calls = sum(after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after)
    # Two for each job, two for its tenant, which may have no other job, and those of the call.
    assert calls <= 50 * 4 + 50


@pytest.mark.parametrize("want", [1, 10])
def test_no_more_jobs_run_than_a_tenant_may_run_at_once(hired, want):
    hired.run(hired.queue.set_tenant("A", 1, None, None, 2))
    tenants = store(hired, "A", 5) | store(hired, "B", 3)
    running = [job for _ in range(10) for job in hired.fetch(want=want)]
    assert sorted(tenants[job.id] for job in running) == ["A", "A", "B", "B", "B"]
    hired.complete(next(job for job in running if tenants[job.id] == "A"))
    (job,) = hired.fetch(want=want)
    assert tenants[job.id] == "A"
    assert hired.fetch(want=want) == []


def test_a_delivered_job_that_its_tenant_may_not_start_yet_waits_in_its_list(hired):
    delivered = []
    for _ in range(2):
        # Plain ones that were delivered before there was a limit start at once.
        delivered += store(hired, "A", 1, retention=60.0)
        hired.hand_over()
    hired.run(hired.queue.set_tenant("A", 1, 1.0, 1.0, None))
    started = hired.fetch(want=2)
    assert (len(started), hired.fetch(want=2)) == (1, [])
    hired.pass_time(1)
    hired.run(hired.queue.promote())
    started += hired.fetch(want=2)
    assert sorted(job.id for job in started) == sorted(delivered)


def test_a_tenant_starts_as_many_jobs_as_its_rate_lets_it(hired):
    hired.run(hired.queue.set_tenant("A", 1, 2.0, 1.0, None))
    store(hired, "A", 5)
    assert len(hired.fetch(want=5)) == 1
    assert hired.fetch(want=5) == []
    hired.pass_time(0.5)
    assert len(hired.fetch(want=5)) == 1


def test_a_limit_that_is_lifted_lets_all_go_at_once(hired):
    hired.run(hired.queue.set_tenant("A", 1, None, None, 1))
    store(hired, "A", 5)
    assert len(hired.fetch(want=5)) == 1
    assert hired.run(hired.queue.set_tenant("A", None, None, None, None)) == "SET"
    assert len(hired.fetch(want=5)) == 4


def test_a_tenant_that_an_earlier_version_forgot_goes_on(hired):
    hired.run(hired.queue.set_tenant("A", 1, None, None, 1))
    store(hired, "A", 2)
    (job,) = hired.fetch(want=5)
    # Its promote finds no job to release for the bucket.
    hired.redis.delete(hired.keys.throttled)
    hired.complete(job)
    hired.run(hired.queue.promote())
    assert len(hired.fetch(want=5)) == 1


def test_a_slot_that_an_earlier_version_did_not_free_is_free_again(hired):
    hired.run(hired.queue.set_tenant("A", 1, None, None, 1))
    store(hired, "A", 2)
    (job,) = hired.fetch()
    hired.redis.hdel(hired.keys.job(job.id), "tenant_slot")
    hired.complete(job)
    hired.pass_time(1)
    assert len(hired.fetch()) == 1


def test_a_repeat_changes_nothing(hired):
    assert hired.run_twice(hired.queue.set_tenant("A", 2, 5.0, 5.0, 3)) == ("SET", "SET")
    assert hired.redis.hgetall(hired.keys.tenants) == {b"A": b"2*"}
    assert hired.run_twice(hired.queue.set_tenant("A", None, None, None, None)) == ("SET", "SET")
    assert not [key for key in hired.everything() if key.startswith(("tenants", "limit"))]


def test_what_every_tenant_has_is_not_kept(hired):
    hired.run(hired.queue.set_tenant("A", 1, None, None, None))
    hired.run(hired.queue.set_tenant("B", 1, None, None, 3))
    assert hired.redis.hgetall(hired.keys.tenants) == {b"B": b"1*"}


def test_a_job_of_a_tenant_at_its_limit_wakes_no_idle_worker(hired):
    hired.run(hired.queue.set_tenant("A", 1, None, None, 1))
    store(hired, "A", 1)
    assert len(hired.fetch()) == 1
    store(hired, "A", 1)
    assert hired.standing("next") == []


def test_a_tenant_that_goes_on_is_not_checked_again(hired):
    hired.run(hired.queue.set_tenant("A", 1, None, None, 1))
    store(hired, "A", 2)
    (job,) = hired.fetch()
    assert hired.fetch() == []
    assert hired.standing("throttled") == ["@A"]
    hired.complete(job)
    hired.run(hired.queue.promote())
    assert hired.standing("throttled") == []
