"""evict: records of finished jobs are removed early, the oldest first; what is still needed stays."""

import pytest

from tests.lua.lab import failure

FOREVER = 8_640_000_000_000


def evict(lab, limit=100, place=0, until=FOREVER, keep_for=0.0):
    return lab.run(lab.queue.evict(limit, place, until, keep_for))


def finish(lab, count):
    """Complete jobs a second apart; return their ids and when each ended."""
    ids, times = [], []
    for _ in range(count):
        ids.append(lab.seed_completed())
        times.append(lab.now)
        lab.pass_time(1)
    return ids, times


def test_the_oldest_go_first(lab):
    ids, times = finish(lab, 5)
    reply = evict(lab, limit=2)
    assert (reply.records, reply.place, reply.young) == (2, 0, 0)
    assert 100 < reply.bytes < 4000
    assert [lab.state(job_id) for job_id in ids] == [None, None, *["completed"] * 3]
    assert lab.standing("finished") == ids[2:]
    assert lab.totals()["evicted"] == 2
    assert lab.everything()["evicted"] == {b"at": str(lab.now).encode(), b"until": str(times[1]).encode()}


def test_no_record_that_ended_after_the_given_time_is_evicted(lab):
    ids, times = finish(lab, 3)
    assert evict(lab, until=times[1]).records == 2
    assert lab.standing("finished") == ids[2:]


def test_what_has_just_ended_stays_and_is_told_of(lab):
    ids, _ = finish(lab, 3)
    reply = evict(lab, keep_for=2.5)
    assert (reply.records, reply.young) == (1, 2)
    assert lab.standing("finished") == ids[1:]


def test_cancelled_and_expired_jobs_go_as_well(lab):
    cancelled, late = lab.enqueue(), lab.enqueue(expires="+1000")
    lab.run(lab.queue.cancel(cancelled))
    lab.pass_time(2)
    lab.hire()
    assert lab.fetch() == []
    assert lab.state(late) == "expired"
    assert evict(lab).records == 2
    assert lab.standing("finished") == []


def test_jobs_that_wait_run_or_have_died_stay(lab):
    kept = [lab.seed_failed(), lab.seed_retrying(), lab.enqueue(due="+5000"), lab.seed_processing().id, lab.enqueue()]
    before = lab.everything()
    assert evict(lab).records == 0
    assert lab.everything() == before
    assert all(lab.state(job_id) for job_id in kept)


def test_ids_whose_record_has_run_out_leave_the_index_and_are_not_counted(lab):
    (gone, kept), _ = finish(lab, 2)
    lab.redis.delete(lab.keys.job(gone))
    assert evict(lab, limit=1).records == 0
    assert lab.standing("finished") == [kept]
    assert "evicted" not in lab.totals()


def child_of(lab, parent, stage):
    """Have a job wait for a parent that completes, and bring it to a stage of its life."""
    child = lab.enqueue("child", after=(parent.id,), due="+5000" if stage == "scheduled" else "")
    assert lab.complete(parent) == "OK"
    if stage in ("processing", "retrying"):
        (job,) = lab.fetch()
        assert job.id == child
        if stage == "retrying":
            assert lab.run(lab.queue.retry("w1", failure(job), 60.0)) == "OK"
    return child


@pytest.mark.parametrize("stage", ["scheduled", "pending", "processing", "retrying"])
def test_a_parent_stays_while_a_child_has_not_ended(lab, stage):
    parent = lab.seed_processing()
    child = child_of(lab, parent, stage)
    lab.pass_time(1)
    other = lab.seed_completed() if stage != "pending" else None
    reply = evict(lab)
    assert (reply.records, reply.place) == (1 if other else 0, 1)
    assert lab.standing("finished") == [parent.id]
    assert lab.state(child) == stage


def test_a_parent_goes_once_its_children_have_ended(lab):
    parent = lab.seed_processing()
    child_of(lab, parent, "pending")
    (job,) = lab.fetch()
    assert job.parents == {parent.id: b"1"}
    assert lab.complete(job) == "OK"
    assert evict(lab).records == 2


def test_a_parent_of_several_stays_for_a_child_that_waits_for_another_one(lab):
    first, second = lab.seed_processing(), lab.seed_processing("w2")
    child = lab.enqueue(after=(first.id, second.id))
    assert lab.complete(first) == "OK"
    assert evict(lab).records == 0
    assert lab.complete(second, "w2") == "OK"
    assert evict(lab).records == 0
    (job,) = lab.fetch()
    assert (job.id, job.parents) == (child, {first.id: b"1", second.id: b"1"})


def test_a_parent_stays_for_a_child_that_came_when_it_had_completed(lab):
    parent = lab.seed_completed()
    children = [lab.enqueue(after=(parent,)), lab.enqueue(after=(parent,))]
    for _ in children:
        evict(lab)
        (job,) = lab.fetch()
        assert job.parents == {parent: b"1"}
        lab.complete(job)
    evict(lab)
    assert lab.state(parent) is None


def test_a_parent_notes_few_more_children_than_have_not_ended(lab):
    parent = lab.seed_completed()
    waiting = [lab.enqueue(after=(parent,), due="+5000") for _ in range(3)]
    longest = 0
    for _ in range(40):
        lab.enqueue(after=(parent,))
        noted = lab.standing(f"readers:{parent}")
        assert set(waiting) < set(noted)
        longest = max(longest, len(noted))
        lab.complete(lab.fetch()[0])
    assert longest <= 7
    for child in waiting:
        assert evict(lab).records <= 40
        assert lab.state(parent) == "completed"
        lab.run(lab.queue.cancel(child))
    evict(lab)
    assert lab.state(parent) is None


def test_a_parent_of_a_dead_letter_goes(lab):
    parent = lab.seed_processing()
    child_of(lab, parent, "pending")
    (job,) = lab.fetch()
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    assert evict(lab).records == 1
    assert lab.state(job.id) == "failed"


def test_a_parent_stays_that_is_redriven_after_a_job_that_will_read_its_result(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,), priority="low")
    lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError"))
    first = lab.enqueue()  # so that none of the others is the next one
    for job_id in (child, parent.id):
        lab.run(lab.queue.redrive([job_id]))
    jobs = lab.fetch(want=2)
    assert [job.id for job in jobs] == [first, parent.id]
    for job in jobs:
        lab.complete(job, result=b"7")
    assert evict(lab).records == 1
    (reader,) = lab.fetch()
    assert reader.parents == {parent.id: b"7"}
    lab.complete(reader)
    assert evict(lab).records == 2


def test_a_job_that_is_not_kept_leaves_nothing_behind_for_its_children(lab):
    parent = lab.seed_processing(retention=0.0)
    child = child_of(lab, parent, "pending")
    assert (lab.state(parent.id), lab.state(child)) == (None, "pending")


def test_children_that_have_ended_are_looked_at_once(lab):
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(4)]
    lab.complete(parent)
    for _ in range(3):
        lab.complete(lab.fetch()[0])
    assert evict(lab).records == 3
    assert lab.standing(f"readers:{parent.id}") == [children[3]]
    lab.complete(lab.fetch()[0])
    assert evict(lab).records == 2
    assert lab.standing(f"readers:{parent.id}") == []


def test_one_call_looks_at_a_limited_number_of_children_and_the_next_at_those_behind_them(lab):
    parent = lab.seed_processing()
    lab.complete(parent)
    lab.redis.hset(lab.keys.job(parent.id), "readers", "+")
    lab.redis.rpush(lab.keys.readers(parent.id), *[parent.id] * 4500)
    left = []
    while not evict(lab).records:
        left.append(len(lab.standing(f"readers:{parent.id}")))
        assert len(left) < 5
    assert left == [2500, 500]


def test_readers_that_an_earlier_version_put_into_the_record_count_too(lab):
    parent = lab.seed_completed()
    ended, waiting = lab.seed_completed(retention=0.0), lab.enqueue()
    lab.redis.hset(lab.keys.job(parent), "readers", f"{ended},{waiting}")
    assert evict(lab).records == 0
    assert lab.record(parent)["readers"] == waiting
    child = lab.enqueue(after=(parent,), due="+5000")
    assert (lab.record(parent)["readers"], lab.standing(f"readers:{parent}")) == ("+", [child, waiting])
    lab.run(lab.queue.cancel(child))
    assert lab.state(parent) == "completed"
    lab.run(lab.queue.cancel(waiting))
    evict(lab)
    assert lab.state(parent) is None


def test_a_record_that_an_earlier_version_has_marked_is_removed_however_many_have_read_its_result(lab):
    parent = lab.seed_completed()
    lab.redis.hset(lab.keys.job(parent), "readers", ",".join([parent] * 4500))
    left = []
    while not evict(lab).records:
        left.append(lab.record(parent)["readers"].count(",") + 1)
        assert len(left) < 5
    assert left == [2500, 500]


def test_it_goes_past_those_that_must_stay(lab):
    parents = [lab.seed_completed() for _ in range(5)]
    for parent in parents:
        lab.enqueue(after=(parent,))
    lab.pass_time(1)
    cancelled = lab.enqueue()
    lab.run(lab.queue.cancel(cancelled))
    assert evict(lab, limit=3).place == 3
    reply = evict(lab, limit=3, place=3)
    assert (reply.records, reply.place) == (1, 5)
    assert lab.standing("finished") == sorted(parents)


def test_the_canaries_of_a_redrive_stay_until_all_have_ended(lab):
    dead = [lab.seed_failed(), lab.seed_failed(), lab.seed_failed()]
    lab.run(lab.queue.start_redrive("r", [], canary=2))
    lab.run(lab.queue.continue_redrives())
    first = lab.fetch()[0]
    assert lab.complete(first) == "OK"
    assert evict(lab).records == 0
    assert lab.complete(lab.fetch()[0]) == "OK"
    lab.pass_time(1)
    lab.run(lab.queue.continue_redrives())
    assert evict(lab).records == 2
    assert lab.redrive("r")["state"] in ("running", "finished")
    assert sum(lab.state(job_id) is None for job_id in dead) == 2


def test_what_is_no_record_any_more_is_left_to_be_found(lab):
    (corrupt, kept), _ = finish(lab, 2)
    lab.redis.delete(lab.keys.job(corrupt))
    lab.redis.set(lab.keys.job(corrupt), "x")
    assert evict(lab).records == 1
    assert lab.standing("finished") == [corrupt]
    assert lab.state(kept) is None
    lab.redis.delete(lab.keys.job(corrupt))


def test_what_it_frees_is_measured(lab):
    finish(lab, 1)
    assert evict(lab).bytes > 0


def test_how_far_records_were_removed_never_goes_back(lab):
    (older, _), times = finish(lab, 2)
    lab.redis.hset(lab.keys.job(older), "readers", lab.enqueue())
    assert evict(lab).records == 1
    lab.redis.hdel(lab.keys.job(older), "readers")
    assert evict(lab).records == 1
    assert lab.redis.hget(lab.keys.evicted, "until") == str(times[1]).encode()
