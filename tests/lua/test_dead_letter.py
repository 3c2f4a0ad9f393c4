"""dead_letter: a job that is given up waits for an operator, for good."""

import pytest

from tests.lua.lab import ERROR, failure


def test_the_job_is_kept_with_what_went_wrong(lab):
    job = lab.seed_processing()
    lab.pass_time(2)
    assert lab.run(lab.queue.dead_letter("w1", failure(job, log=b"[]", crash="SIGKILL"), "ValueError")) == "OK"
    record = lab.record(job.id)
    assert (record["state"], record["error"], record["finished"]) == ("failed", ERROR.decode(), str(lab.now))
    assert (record["crashes"], record["log:1"]) == ("SIGKILL", "[]")
    assert lab.scores("failed") == {job.id: lab.now}
    assert lab.redis.ttl(lab.keys.job(job.id)) == -1
    assert lab.totals()["failed:email:ValueError"] == 1
    assert len(lab.history(job.id)) == 1


def test_crashes_are_added_to_those_before(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.retry("w1", failure(job, crash="SIGSEGV"), 0.0))
    lab.run(lab.queue.promote())
    (job,) = lab.fetch()
    lab.run(lab.queue.dead_letter("w1", failure(job, crash="SIGKILL"), "Crash"))
    assert lab.record(job.id)["crashes"] == "SIGSEGV,SIGKILL"


def test_no_retention_lets_a_dead_letter_go(lab):
    job = lab.seed_processing(retention=0)
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    assert lab.state(job.id) == "failed"


def test_dead_letters_are_grouped_by_type_class_of_error_and_place(lab):
    here, there = "mail.py:4 send", "mail.py:9 close"
    first, second = lab.seed_failed(here), lab.seed_failed(there)
    third, other = lab.seed_failed(here), lab.seed_failed(here, job_type="report")
    # Those that die in one millisecond stand by their ids, which are random.
    assert {name: set(ids) for name, ids in lab.groups().items()} == {
        f"email\nValueError\n{here}": {first, third},
        f"email\nValueError\n{there}": {second},
        f"report\nValueError\n{here}": {other},
    }


def test_who_dies_without_a_handlers_fault_has_a_group_too(lab):
    lost = lab.seed_processing()
    lab.redis.hset(lab.keys.job(lost.id), "lost", 99)
    child = lab.enqueue(after=(lost.id,))
    lab.lose()
    assert lab.groups() == {"email\nWorkerLost\n": [lost.id], "email\nParentFailed\n": [child]}


@pytest.mark.parametrize("leave", ["redrive", "discard", "purge", "prune"])
def test_who_leaves_the_dead_letters_leaves_the_group_and_an_empty_one_is_forgotten(lab, leave):
    job_id = lab.seed_failed("mail.py:4 send")
    calls = {
        "redrive": lambda: lab.queue.redrive([job_id]),
        "discard": lambda: lab.queue.discard([job_id]),
        "purge": lambda: lab.queue.purge("failed"),
        "prune": lambda: lab.queue.prune(0, 0.0, 100),
    }
    lab.run_twice(calls[leave]())
    assert lab.groups() == {}
    assert lab.standing("groups") == []


def test_a_dead_letter_whose_record_is_gone_leaves_its_group_all_the_same(lab):
    gone, other = lab.seed_failed(), lab.seed_failed("mail.py:4 send")
    lab.redis.delete(lab.keys.job(gone))
    assert lab.run(lab.queue.discard([gone])) == 1
    assert lab.groups() == {"email\nValueError\nmail.py:4 send": [other]}


def test_the_number_of_counted_error_classes_is_bounded(lab):
    for number in range(60):
        job = lab.seed_processing()
        lab.run(lab.queue.dead_letter("w1", failure(job), f"Error{number}"))
    job = lab.seed_processing()
    lab.run(lab.queue.dead_letter("w1", failure(job), "Error7"))
    totals = lab.totals()
    assert sum(name.startswith("failed:") for name in totals) == 51
    # What was counted once goes on to be; what came too late does not take its place.
    assert (totals["failed:email:Error7"], totals["failed:email:other"]) == (2, 10)


def test_children_that_fail_with_it_free_what_they_held_and_are_counted_as_one_kind(lab):
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,), unique_key=key) for key in "kl"]
    grandchild = lab.enqueue(after=(children[0],))
    lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError"))
    for job_id in (*children, grandchild):
        record = lab.record(job_id)
        assert record["state"] == "failed"
        assert not {"children", "waiting_for"} & record.keys()
    assert not [key for key in lab.everything() if key.startswith("unique:")]
    assert lab.totals()["kinds"] == 2


def test_no_reader_is_noted_of_a_job_without_a_result(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,), on_parent_failure="run")
    lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError"))
    assert lab.state(child) == "pending"
    assert not {"readers", "children"} & lab.record(parent.id).keys()
    assert "waiting_for" not in lab.record(child)


def test_classes_of_error_have_counters_only_until_there_are_many_in_one_call_too(lab):
    parent = lab.seed_processing()
    for job_type in ("a", "b"):
        lab.enqueue(job_type, after=(parent.id,))
    lab.redis.hset(lab.keys.totals, "kinds", 48)
    lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError"))
    failed = {name: count for name, count in lab.totals().items() if name.startswith(("failed", "kinds"))}
    assert failed == {"failed:email:ValueError": 1, "failed:a:ParentFailed": 1, "failed:b:other": 1, "kinds": 50}


def test_a_history_that_is_empty_is_none(lab):
    job = lab.seed_processing()
    lab.redis.hset(lab.keys.job(job.id), "history", "")
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    assert len(lab.history(job.id)) == 1
