"""Jobs that wait for one job: the first ones are named in its record, the others in a list beside it."""

import pytest

from tests.lua.lab import failure, new_job


def test_one_more_child_costs_the_same_however_many_there_are(lab):
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(240)]
    named = lab.record(parent.id)["children"].split(",")
    assert len(named) == 200
    assert named + lab.standing(f"children:{parent.id}")[::-1] == children
    assert lab.redis.smembers(lab.keys.families) == {parent.id.encode()}
    lab.complete(parent)
    lab.run(lab.queue.promote())
    assert lab.standing("next") + lab.standing("pending:normal") == children
    assert not {"children", "families"} & {key.partition(":")[0] for key in lab.everything()}


def test_one_more_reader_of_a_result_costs_the_same_however_many_there_are(lab):
    parent = lab.seed_completed(retention=60.0)
    readers = [lab.enqueue(after=(parent,)) for _ in range(40)]
    assert lab.record(parent)["readers"] == "+"
    assert sorted(lab.standing(f"readers:{parent}")) == sorted(readers)
    # At one moment.
    pipe = lab.redis.pipeline(transaction=True)
    key, record = pipe.pttl(lab.keys.readers(parent)).pttl(lab.keys.job(parent)).execute()
    assert 0 < key <= record + 1 <= 60_001


def test_all_children_read_the_result_before_its_record_is_removed_early(lab):
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(450)]
    lab.complete(parent)
    while lab.run(lab.queue.promote()).moved:
        pass
    assert lab.standing(f"readers:{parent.id}")[::-1] == children


@pytest.mark.parametrize("count", [200, 201, 400])
def test_nothing_is_left_of_a_list_of_children_once_all_are_notified(lab, count):
    parent = lab.seed_processing()
    lab.run(lab.queue.enqueue([new_job(after=(parent.id,)) for _ in range(count)]))
    lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError"))
    for _ in range(3):
        lab.run(lab.queue.promote())
    assert lab.totals()["failed:email:ParentFailed"] == count
    assert not {"children", "families", "telling"} & {key.partition(":")[0] for key in lab.everything()}


def test_children_of_children_that_one_call_does_not_reach_fail_too(lab):
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(199)]
    grandchildren = [lab.enqueue(after=(child,)) for child in children[-2:] for _ in range(15)]
    lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError"))
    assert lab.run(lab.queue.promote()).moved == 0
    assert {lab.state(job_id) for job_id in children + grandchildren} == {"failed"}
    assert lab.run(lab.queue.promote()).next_due is None


def test_children_that_an_earlier_version_has_noted_are_notified_in_their_order(lab):
    """It names all of them in the record, and in `telling`."""
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(450)]
    lab.redis.hset(lab.keys.job(parent.id), "children", ",".join(children[:448]))
    lab.redis.delete(lab.keys.children(parent.id), lab.keys.families)
    lab.redis.rpush(lab.keys.telling, f"+{parent.id} {','.join(children[448:])}")
    lab.complete(parent)
    assert lab.run(lab.queue.promote()).next_due == lab.now
    for _ in range(3):
        lab.run(lab.queue.promote())
    order = lab.standing("next") + lab.standing("pending:normal")
    assert [each for each in order if each in children[:448]] == children[:448]
    assert set(order) == set(children)
    assert not {"children", "families", "telling"} & {key.partition(":")[0] for key in lab.everything()}


def test_children_of_a_parent_that_ended_in_an_earlier_version_are_found(lab):
    """It notifies only those that the record names."""
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(240)]
    named = lab.record(parent.id)["children"].split(",")
    lab.redis.hset(lab.keys.job(parent.id), "children", ",".join(named))
    kept = lab.redis.dump(lab.keys.children(parent.id))
    lab.redis.delete(lab.keys.children(parent.id), lab.keys.families)
    lab.complete(parent)
    lab.redis.restore(lab.keys.children(parent.id), 0, kept)
    lab.redis.sadd(lab.keys.families, parent.id)
    assert lab.run(lab.queue.promote()).moved == 240 - len(named)
    assert lab.standing("next") + lab.standing("pending:normal") == children
    assert not lab.redis.exists(lab.keys.families)


def test_children_of_a_parent_that_is_gone_become_dead_letters(lab):
    parent = lab.enqueue(due="+5000")
    children = [lab.enqueue(after=(parent,)) for _ in range(220)]
    # An earlier version purges it.
    lab.redis.delete(lab.keys.job(parent))
    lab.redis.zrem(lab.keys.scheduled, parent)
    lab.redis.hincrby(lab.keys.totals, "purged", 1)
    for child in children[:-10]:
        lab.run(lab.queue.cancel(child))
    lab.run(lab.queue.promote())
    assert lab.state(children[-1]) == "failed"


def test_children_of_a_completed_parent_without_a_record_all_start(lab):
    parent = lab.seed_processing(retention=0.0)
    children = [lab.enqueue(after=(parent.id,)) for _ in range(450)]
    lab.complete(parent)
    while lab.run(lab.queue.promote()).moved:
        pass
    assert lab.standing("next") + lab.standing("pending:normal") == children


def test_no_reader_is_noted_of_a_job_that_was_cancelled(lab):
    parent = lab.enqueue(due="+5000")
    child = lab.enqueue(after=(parent,), on_parent_failure="run")
    lab.run(lab.queue.cancel(parent))
    assert lab.state(child) == "pending"
    assert "readers" not in lab.record(parent)
    assert lab.standing(f"readers:{parent}") == []


def test_children_of_a_waiting_parent_are_left_alone(lab):
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(20)]
    lab.run_twice(lab.queue.promote())
    assert {lab.state(child) for child in children} == {"scheduled"}
