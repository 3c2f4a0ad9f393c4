"""note_frozen: a running job's record says for how long it was frozen, and since when it is."""

from gopher.jobs.job import new_job_id


def _running(lab):
    lab.hire()
    lab.enqueue("email")
    (job,) = lab.fetch()
    return job


def test_a_freeze_is_noted_with_its_time_and_counted_once(lab):
    job = _running(lab)
    call = lab.queue.note_frozen(job.id, job.token, 0.0, is_frozen=True)
    assert lab.run_twice(call) == ("OK", "OK")
    assert lab.redis.hget(lab.keys.job(job.id), "frozen").decode() == f"{job.token} 0 {lab.now}"
    assert lab.redis.hget(lab.keys.totals, "frozen:email") == b"1"


def test_one_that_goes_on_and_is_frozen_again_keeps_the_sum(lab):
    job = _running(lab)
    lab.run(lab.queue.note_frozen(job.id, job.token, 0.0, is_frozen=True))
    call = lab.queue.note_frozen(job.id, job.token, 1.5, is_frozen=False)
    assert lab.run_twice(call) == ("OK", "OK")
    assert lab.redis.hget(lab.keys.job(job.id), "frozen").decode() == f"{job.token} 1500 "
    lab.pass_time(1)
    lab.run(lab.queue.note_frozen(job.id, job.token, 1.5, is_frozen=True))
    assert lab.redis.hget(lab.keys.job(job.id), "frozen").decode() == f"{job.token} 1500 {lab.now}"
    assert lab.redis.hget(lab.keys.totals, "frozen:email") == b"2"


def test_an_attempt_that_is_over_is_left_as_it_is(lab):
    job = _running(lab)
    lab.complete(job)
    before = lab.everything()
    assert lab.run(lab.queue.note_frozen(job.id, job.token, 0.0, is_frozen=True)) == "STALE"
    assert lab.run(lab.queue.note_frozen(new_job_id(), job.token, 0.0, is_frozen=True)) == "STALE"
    assert lab.everything() == before
