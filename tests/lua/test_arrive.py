"""arrive: jobs from other queues are stored once, in the state that they had."""

import pytest

from gopher.jobs.job import new_job_id

FIELDS = [b"type", b"email", b"priority", b"high", b"envelope", b'{"payload":{"x":"\xc3\xa4"}}', b"plain", b"1"]


def arrive(lab, job_id, state="pending", due="", fields=FIELDS, move="m"):
    return lab.run_twice(lab.queue.arrive([(move, job_id, state, due, [*fields, b"state", state.encode()])]))


def test_a_pending_job_may_start_here(lab):
    job_id = new_job_id()
    assert arrive(lab, job_id) == (1, 0)
    lab.hire()
    (job,) = lab.fetch()
    assert (job.id, job.priority, job.envelope) == (job_id, "high", FIELDS[5])
    assert lab.totals()["enqueued:email:high"] == 1


@pytest.mark.parametrize("state", ["scheduled", "retrying"])
def test_one_that_waits_for_its_time_goes_on_waiting(lab, state):
    job_id = new_job_id()
    arrive(lab, job_id, state, str(lab.now + 5000))
    assert lab.scores(state) == {job_id: lab.now + 5000}
    assert lab.alarm() == lab.now + 5000
    lab.pass_time(5)
    lab.run(lab.queue.promote())
    assert lab.standing("next") == [job_id]


def test_it_is_not_stored_again_when_it_has_ended_and_is_gone(lab):
    job_id = new_job_id()
    arrive(lab, job_id, fields=[*FIELDS[:-2], b"retention", b"0"])
    lab.hire()
    lab.complete(lab.fetch()[0])
    assert lab.record(job_id) == {}
    assert arrive(lab, job_id) == (0, 0)
    assert lab.record(job_id) == {}


def test_it_gets_its_unique_key_unless_another_job_has_it(lab):
    job_id, other = new_job_id(), new_job_id()
    unique = [*FIELDS[:-2], b"unique", b"k", b"unique_left", b"60000"]
    arrive(lab, job_id, fields=unique)
    arrive(lab, other, fields=unique, move="m2")
    assert lab.redis.get(lab.keys.unique("k")).decode() == job_id
    assert 0 < lab.redis.pttl(lab.keys.unique("k")) <= 60_000
    assert "unique_left" not in lab.record(job_id)


def test_it_counts_for_its_owner(lab):
    arrive(lab, new_job_id(), fields=[*FIELDS[:-2], b"owner", b"shop"])
    assert lab.redis.hgetall(lab.keys.waiting) == {b"shop": b"1"}
