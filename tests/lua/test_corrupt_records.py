"""A record that somebody has put something else in the place of: its id is set aside, all others go on."""

import pytest

from gopher.errors import GopherError
from gopher.queue.arguments import Completion


@pytest.fixture
def spoil(lab):
    """Return what spoils a job's record, or takes fields of it. In the end its job counts as deleted by hand."""
    corrupt = []

    def spoil(job_id, *fields):
        if fields:
            lab.redis.hdel(lab.keys.job(job_id), *fields)
        else:
            lab.redis.set(lab.keys.job(job_id), "nonsense")
        corrupt.append(job_id)
        return job_id

    yield spoil
    assert {member.decode() for member in lab.redis.smembers(lab.keys.corrupt)} == set(corrupt)
    lab.redis.delete(lab.keys.corrupt, *map(lab.keys.job, corrupt))
    lab.redis.hincrby(lab.keys.totals, "purged", len(corrupt))


def test_the_jobs_behind_it_are_rescued(lab, spoil):
    first, second = lab.seed_pending(2)
    lab.hire()
    lab.fetch(want=2)
    spoil(first)
    assert lab.lose().returned == 1
    assert lab.standing("next") == [second]
    assert lab.standing("processing:w1") == []


@pytest.mark.parametrize("fields", [(), ("type",), ("token",), ("priority",)])
def test_the_jobs_behind_it_are_reclaimed(lab, spoil, fields):
    first, second = lab.seed_pending(2)
    lab.hire()
    lab.fetch(want=2)
    spoil(first, *fields)
    reclaimed = lab.run(lab.queue.reclaim("w1", [], 1000, 1000)).job_ids
    assert second in reclaimed
    assert lab.standing("next") == [second]
    assert lab.standing("processing:w1") == []


def test_the_progress_of_others_is_kept(lab, spoil):
    lab.seed_pending(2)
    lab.hire()
    first, second = lab.fetch(want=2)
    spoil(first.id)
    assert lab.run(lab.queue.report([(job.id, job.token, b"{}", b"") for job in (first, second)])) == ["STALE", "OK"]
    lab.lose()


def test_a_running_one_without_a_type_keeps_no_others_in_their_workers_list(lab, spoil):
    lab.hire()
    lab.seed_pending(3)
    first, second, third = lab.fetch(want=3)
    spoil(second.id, "type")
    results = [Completion(each.id, each.token, 1.0, b"1", b"") for each in (first, second, third)]
    assert lab.run(lab.queue.complete("w1", results)) == ["OK", "MISSING", "OK"]
    assert lab.standing("processing:w1") == [second.id]
    assert lab.lose().returned == 0
    assert lab.standing("processing:w1") == []


def test_a_lost_one_without_a_type_frees_its_place_of_a_limit(lab, spoil):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    job = lab.seed_processing()
    assert lab.redis.scard(lab.keys.prefix + "holding:email") == 1
    spoil(job.id, "type")
    lab.lose()
    assert lab.redis.scard(lab.keys.prefix + "holding:email") == 0


@pytest.mark.parametrize("said", ["2.5", "many", "", "1e300", "-1e300", "nan", "inf"])
@pytest.mark.parametrize("again", [False, True])
def test_numbers_that_are_none_do_not_keep_the_others_from_their_worker(lab, said, again):
    ids = lab.seed_pending(3)
    lab.hire()
    call = lab.fetch_call(want=3)
    if again:
        lab.run(call)
    for field in ("attempts", "lost", "crashes"):
        lab.redis.hset(lab.keys.job(ids[1]), field, said)
    assert {job.id for job in lab.run(call).jobs} == set(ids)


@pytest.mark.parametrize("retention", ["", "long"])
def test_a_retention_that_is_none_leaves_the_job_as_it_is(lab, retention):
    job = lab.seed_processing(retention=5.0)
    lab.redis.hset(lab.keys.job(job.id), "retention", retention)
    with pytest.raises(GopherError):
        lab.complete(job)
    assert lab.state(job.id) == "processing"
    lab.redis.hset(lab.keys.job(job.id), "retention", "5000")


@pytest.mark.parametrize("at", [0, 1])
def test_the_jobs_behind_it_are_fetched(lab, spoil, at):
    ids = lab.seed_pending(3)
    spoil(ids[at])
    lab.hire()
    assert [job.id for job in lab.fetch(want=3)] == [job_id for job_id in ids if job_id != ids[at]]
    assert lab.tombstones() == {}


@pytest.mark.parametrize("field", ["type", "priority"])
@pytest.mark.parametrize("at", [0, 1])
def test_one_that_waits_without_a_type_or_a_priority_is_passed_over(lab, spoil, field, at):
    ids = lab.seed_pending(3)
    spoil(ids[at], field)
    lab.hire()
    assert [job.id for job in lab.fetch(want=3)] == [job_id for job_id in ids if job_id != ids[at]]
    assert ids[at] not in lab.standing("processing:w1")
    assert lab.tombstones() == {}


@pytest.mark.parametrize("field", ["type", "priority"])
@pytest.mark.parametrize("at", [0, 1])
def test_one_that_waits_with_a_type_or_a_priority_that_is_no_text_is_passed_over(lab, spoil, field, at):
    ids = lab.seed_pending(3)
    spoil(ids[at])
    lab.redis.delete(lab.keys.job(ids[at]))
    lab.redis.hset(
        lab.keys.job(ids[at]), mapping={"type": "email", "priority": "normal", "state": "pending", "plain": "1"}
    )
    lab.redis.hset(lab.keys.job(ids[at]), field, b"\xff\xfe")
    lab.hire()
    assert [job.id for job in lab.fetch(want=3)] == [job_id for job_id in ids if job_id != ids[at]]


def test_crashes_that_are_no_text_do_not_keep_the_others_from_their_worker(lab):
    ids = lab.seed_pending(3)
    lab.redis.hset(lab.keys.job(ids[1]), mapping={"attempts": "1", "crashes": b"SIGSEGV,\xff,exit 3"})
    lab.hire()
    jobs = lab.fetch(want=3)
    assert [job.crashes for job in jobs] == [(), ("SIGSEGV", "exit 3"), ()]


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("strict", [False, True])
def test_a_job_of_an_unknown_priority_starts_from_the_list_that_it_is_in(lab, at, strict):
    ids = lab.seed_pending(3)
    lab.hire()
    lab.redis.hset(lab.keys.job(ids[at]), "priority", "purple")
    call = lab.queue.fetch("w1", 3, 1, "hnlhnhnhn", strict=strict)
    assert {job.id for job in lab.run(call).jobs} == {job.id for job in lab.run(call).jobs} == set(ids)
    lab.redis.hset(lab.keys.job(ids[at]), "priority", "normal")


def test_a_time_that_is_none_does_not_keep_the_others_from_a_worker_that_traces(lab):
    ids = lab.seed_pending(3)
    lab.hire()
    lab.redis.hset(lab.keys.job(ids[1]), "since", "nan")
    call = lab.queue.fetch("w1", 3, 1, "hnl", strict=True, with_prelude=True)
    assert [job.prelude for job in lab.run(call).jobs] == [job.prelude for job in lab.run(call).jobs] == [("", 0)] * 3


def test_a_delivered_job_does_not_block_its_worker(lab, spoil):
    lab.seed_pending(2)
    lab.hire()
    spoil(lab.hand_over())
    assert len(lab.fetch(want=2)) == 1


@pytest.mark.parametrize("state", ["scheduled", "retrying"])
def test_the_jobs_behind_it_are_promoted(lab, spoil, state):
    first, second = (lab.enqueue(due="+5000") if state == "scheduled" else lab.seed_retrying(5.0) for _ in range(2))
    spoil(first)
    lab.pass_time(6)
    assert lab.run(lab.queue.promote()).moved == 1
    assert lab.standing("next") == [second]
    assert lab.standing(state) == []


def test_the_throttled_jobs_behind_it_are_released(lab, spoil):
    lab.run(lab.queue.pause("email"))
    first, second = lab.seed_pending(2)
    lab.hire()
    assert lab.fetch(want=2) == []
    spoil(first)
    lab.run(lab.queue.resume("email"))
    lab.run(lab.queue.promote())
    assert [job.id for job in lab.fetch(want=2)] == [second]


@pytest.mark.parametrize("verb", ["prune", "purge", "continue_redrives"])
def test_the_dead_letters_behind_it_go(lab, spoil, verb):
    first, second = lab.seed_failed(), lab.seed_failed()
    spoil(first)
    calls = {
        "prune": lambda: lab.queue.prune(0, 0.0, 100),
        "purge": lambda: lab.queue.purge("failed"),
        "continue_redrives": lab.queue.continue_redrives,
    }
    lab.run(lab.queue.start_redrive("r", []))
    lab.run(calls[verb]())
    assert lab.standing("failed") == []
    assert lab.state(second) == ("pending" if verb == "continue_redrives" else None)
    lab.redis.delete(lab.keys.redrives, lab.keys.redrive("r"))
    if verb != "purge":
        # It is counted as pruned already.
        lab.redis.hincrby(lab.keys.totals, "pruned_dead", -1)


def test_the_pending_jobs_behind_it_are_purged(lab, spoil):
    ids = lab.seed_pending(3)
    spoil(ids[1])
    assert lab.run(lab.queue.purge("pending")).jobs == 2
    assert lab.tombstones() == {}


def test_the_other_children_of_a_job_are_told(lab, spoil):
    parent = lab.seed_processing()
    first, second = lab.enqueue(after=(parent.id,)), lab.enqueue(after=(parent.id,))
    spoil(first)
    assert lab.complete(parent) == "OK"
    assert lab.standing("next") == [second]
    lab.redis.zrem(lab.keys.scheduled, first)


def test_a_worker_that_must_stop_it_keeps_its_lease(lab, spoil):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    spoil(job.id)
    beat = lab.run(lab.queue.heartbeat("w1", 10.0))
    assert (beat.lost, beat.cancelling) == (False, [])
    lab.redis.lrem(lab.keys.processing("w1"), 0, job.id)


def test_prune_returns_how_many_there_are(lab, spoil):
    spoil(lab.seed_pending(1)[0])
    lab.hire()
    lab.fetch()
    assert lab.run(lab.queue.prune(0, 60.0, 100)).corrupt == 1


def test_a_dead_letter_can_not_be_retried(lab, spoil):
    job_id = spoil(lab.seed_failed())
    assert lab.run(lab.queue.redrive([job_id])) == 0
    lab.redis.zrem(lab.keys.failed, job_id)
    for group in lab.standing("groups"):
        lab.redis.delete(lab.keys.group(group), lab.keys.groups, lab.keys.group_names)


def test_the_results_that_come_with_its_own_are_stored(lab, spoil):
    ids = lab.seed_pending(3)
    lab.hire()
    jobs = lab.fetch(want=3)
    spoil(ids[1])
    done = [Completion(job.id, job.token, 1.0, b"", b"") for job in jobs]
    assert lab.run(lab.queue.complete("w1", done)) == ["OK", "MISSING", "OK"]
    assert sorted(lab.standing("finished")) == sorted([ids[0], ids[2]])
    assert lab.totals()["completed:email"] == 2
    lab.redis.lrem(lab.keys.processing("w1"), 1, ids[1])


def test_one_that_was_handed_over_and_has_no_priority_does_not_stop_a_rescue(lab):
    gone, job_id = lab.enqueue(), lab.enqueue()
    lab.hire()
    lab.hand_over()
    lab.redis.hdel(lab.keys.job(gone), "priority")
    lab.lose()
    assert lab.standing("processing:w1") == []
    lab.redis.delete(lab.keys.job(gone))
    lab.redis.hincrby(lab.keys.totals, "purged", 1)
    lab.run(lab.queue.resume())
    assert lab.standing("next") + lab.standing("pending:normal") == [job_id]


def test_the_outcome_of_one_without_a_state_is_that_of_none(lab):
    job = lab.seed_processing()
    lab.redis.hdel(lab.keys.job(job.id), "state")
    assert lab.complete(job) == "MISSING"
    lab.redis.hset(lab.keys.job(job.id), "state", "processing")
