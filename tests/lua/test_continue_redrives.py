"""continue_redrives: the first ones are tried, the rest follows at its rate."""

import pytest

from tests.lua.lab import failure


def seed(lab, count, place=""):
    dead = []
    for _ in range(count):
        dead.append(lab.seed_failed(place))
        lab.pass_time(0.001)
    return dead


def start(lab, *groups, **options):
    return lab.run(lab.queue.start_redrive("r", groups, **options))


def go_on(lab, seconds=0.5):
    lab.pass_time(seconds)
    lab.hire()
    return lab.run(lab.queue.continue_redrives())


def work(lab, *, well=True):
    """Let all that waits be done; return their ids."""
    jobs = lab.fetch(want=100)
    for job in jobs:
        if well:
            assert lab.complete(job) == "OK"
        else:
            lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    return [job.id for job in jobs]


def states(lab, ids):
    return [lab.state(job_id) for job_id in ids]


def test_the_rest_follows_when_the_first_ones_have_completed(lab):
    dead = seed(lab, 5)
    start(lab, canary=2)
    assert go_on(lab).moved == 2
    assert states(lab, dead) == ["pending", "pending", "failed", "failed", "failed"]
    assert lab.redrive("r")["canaries"] == ",".join(dead[:2])
    assert go_on(lab).moved == 0
    assert work(lab) == dead[:2]
    assert go_on(lab).moved == 0
    assert lab.redrive("r")["state"] == "running"
    assert go_on(lab, 0).moved == 3
    plan = lab.redrive("r")
    assert (plan["state"], plan["retried"], plan["left"]) == ("finished", "5", "0")
    assert work(lab) == dead[2:]


@pytest.mark.parametrize("fate", ["failed", "cancelled", "gone"])
def test_it_stops_when_one_of_the_first_does_not_complete(lab, fate):
    dead = seed(lab, 4)
    start(lab, canary=2)
    go_on(lab)
    if fate == "failed":
        work(lab, well=False)
    elif fate == "cancelled":
        lab.run(lab.queue.cancel(dead[0]))
    else:
        lab.run(lab.queue.purge("pending", 1))
    assert go_on(lab).next_due is None
    plan = lab.redrive("r")
    assert (plan["state"], plan["retried"]) == ("stopped", "2")
    assert plan["reason"] == f"canary {dead[0]} is {fate}"
    assert states(lab, dead[2:]) == ["failed", "failed"]


def test_a_first_one_that_is_tried_again_is_waited_for(lab):
    seed(lab, 2)
    start(lab, canary=1)
    go_on(lab)
    (job,) = lab.fetch()
    lab.run(lab.queue.retry("w1", failure(job), 5.0))
    assert (go_on(lab).moved, lab.redrive("r")["state"]) == (0, "canary")
    lab.pass_time(5)
    lab.run(lab.queue.promote())
    work(lab)
    go_on(lab)
    assert lab.redrive("r")["state"] == "running"


def test_the_record_of_a_first_one_is_kept_until_its_end_is_seen(lab):
    dead = [lab.seed_failed(retention=0), lab.seed_failed(retention=None)]
    start(lab, canary=2)
    go_on(lab)
    work(lab)
    assert states(lab, dead) == ["completed", "completed"]
    assert "retention" not in lab.record(dead[1])
    go_on(lab)
    assert lab.redrive("r")["state"] == "running"


def test_some_of_each_group_are_tried_first(lab):
    here, there = seed(lab, 5, "here"), seed(lab, 5, "there")
    start(lab, *(lab.record(ids[0])["group"] for ids in (here, there)), canary=4)
    go_on(lab)
    assert lab.redrive("r")["canaries"] == ",".join(here[:2] + there[:2])


def test_a_group_leaves_the_others_alone(lab):
    here, there = seed(lab, 2, "here"), seed(lab, 2, "there")
    start(lab, lab.record(there[0])["group"])
    assert go_on(lab).moved == 2
    assert states(lab, here + there) == ["failed", "failed", "pending", "pending"]


def test_those_that_die_later_are_not_meant(lab):
    dead = seed(lab, 3)
    start(lab, rate=1.0)
    seen = []
    for _ in range(8):
        go_on(lab, 1.0)
        seen += work(lab, well=False)
    assert seen == dead
    assert lab.redrive("r")["state"] == "finished"


@pytest.mark.parametrize("rate", [0.5, 5.0, 300.0])
def test_they_follow_at_the_rate(lab, rate):
    count = min(round(rate * 10), 300)
    dead = [seed(lab, 1)[0] for _ in range(count)]
    start(lab, rate=rate)
    began, moved = lab.now, 0
    while lab.redrive("r")["state"] == "running":
        answer = lab.run(lab.queue.continue_redrives())
        moved += answer.moved
        assert moved <= rate * (lab.now - began) / 1000 + max(1, rate / 10) + 1
        if answer.next_due is not None:
            lab.set_clock(max(answer.next_due, lab.now + 1))
    assert moved == len(dead)
    assert (lab.now - began) / 1000 == pytest.approx(count / rate, rel=0.2, abs=0.1 + 1 / rate)


def test_the_rate_does_not_catch_up_after_a_pause_without_calls(lab):
    seed(lab, 50)
    start(lab, rate=10.0)
    go_on(lab)
    assert go_on(lab, 60).moved == 2


def test_a_clock_that_was_set_back_stops_nothing(lab):
    seed(lab, 5)
    start(lab, rate=1.0)
    assert go_on(lab).moved == 1
    lab.set_clock(lab.now - 3_600_000)
    lab.redis.zadd(lab.keys.redrives, {"r": 0})
    lab.run(lab.queue.continue_redrives())
    assert lab.run(lab.queue.continue_redrives()).next_due <= lab.now + 1000
    lab.pass_time(1)
    assert lab.run(lab.queue.continue_redrives()).moved == 1


def test_a_call_moves_no_more_than_its_limit(lab):
    seed(lab, 5)
    start(lab)
    moved = [lab.run(lab.queue.continue_redrives(2)).moved for _ in range(4)]
    assert moved == [2, 2, 1, 0]
    assert lab.redrive("r")["state"] == "finished"


def test_a_dead_letter_without_a_record_does_not_hold_the_others_up(lab):
    gone, other = seed(lab, 2)
    lab.redis.delete(lab.keys.job(gone))
    start(lab)
    assert lab.run(lab.queue.continue_redrives()).moved == 1
    assert (lab.standing("failed"), lab.state(other)) == ([], "pending")
    assert lab.totals()["pruned_dead"] == 1


def test_it_returns_when_to_continue(lab):
    seed(lab, 3)
    assert go_on(lab).next_due is None
    start(lab, canary=1)
    assert go_on(lab).next_due == lab.now + 500
    work(lab)
    assert go_on(lab).next_due == lab.now


def test_what_is_over_is_forgotten_after_a_day(lab):
    seed(lab, 1)
    start(lab)
    lab.run(lab.queue.continue_redrives())
    assert lab.standing("redrives") == ["r"]
    assert 0 < lab.redis.pttl(lab.keys.redrive("r")) <= 86_400_000
    lab.redis.delete(lab.keys.redrive("r"))
    lab.run(lab.queue.prune(0, 60.0, 100))
    assert lab.standing("redrives") == []


def test_a_plan_that_was_deleted_is_dropped(lab):
    seed(lab, 1)
    start(lab)
    lab.redis.delete(lab.keys.redrive("r"))
    assert lab.run(lab.queue.continue_redrives()).moved == 0
    assert lab.standing("redrives") == []


def test_it_is_finished_with_the_last_job_whatever_its_rate_would_allow(lab):
    seed(lab, 2)
    start(lab, rate=100.0)
    lab.pass_time(1)
    go_on(lab)
    go_on(lab)
    assert lab.redrive("r")["retried"] == "2"
    assert lab.redrive("r")["state"] == "finished"


def test_it_is_finished_when_its_last_job_comes_at_the_very_rate(lab):
    seed(lab, 1)
    start(lab, rate=1.0, limit=1)
    assert go_on(lab).moved == 1
    assert lab.redrive("r")["state"] == "finished"


def test_it_is_finished_when_others_have_taken_what_was_left(lab):
    dead = seed(lab, 3)
    start(lab)
    lab.run(lab.queue.discard(dead[:1]))
    assert go_on(lab).moved == 2
    assert lab.redrive("r")["state"] == "finished"


def seed_of(lab, tenant, count=1):
    """Return dead letters of a tenant, "" for none."""
    dead = []
    for _ in range(count):
        job = lab.seed_processing(tenant=tenant)
        lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
        dead.append(job.id)
        lab.pass_time(0.001)
    return dead


def test_those_of_a_tenant_are_redriven_wherever_they_are_among_those_of_others(lab):
    others, dead = seed_of(lab, "bob", 130), []
    for _ in range(3):
        dead += seed_of(lab, "ann")
        others += seed_of(lab, "bob") + seed_of(lab, "")
    group = lab.record(dead[0])["group"]
    lab.hire()
    for groups in ((), (group,)):
        lab.redis.delete(lab.keys.redrive("r"))
        assert start(lab, *groups, canary=1, rate=2.0, limit=3, tenant="ann") == 3
        assert go_on(lab).moved == 1
        assert work(lab, well=True) == dead[:1]
        go_on(lab)
        moved = [go_on(lab, 0.6).moved for _ in range(4)]
        assert sum(moved) == 2
        assert max(moved) == 1
        assert lab.redrive("r")["state"] == "finished"
        assert work(lab) == dead[1:]
        assert set(states(lab, others)) == {"failed"}
        dead = seed_of(lab, "ann", 3)


def test_a_call_looks_at_some_thousands_of_others_and_the_next_one_goes_on_behind_them(lab):
    others = seed_of(lab, "bob", 5)
    dead = seed_of(lab, "ann")
    client, keys = lab.redis, lab.keys
    # Dead letters whose records are read as those of others.
    client.zadd(keys.failed, {f"0-{number}": 1 for number in range(2100)})
    assert start(lab, limit=1, tenant="ann") == 1
    assert go_on(lab).moved == 0
    assert lab.redrive("r")["state"] == "running"
    assert go_on(lab).moved == 1
    assert states(lab, [*dead, *others]) == ["pending", *["failed"] * 5]
    client.zremrangebyscore(keys.failed, 1, 1)
