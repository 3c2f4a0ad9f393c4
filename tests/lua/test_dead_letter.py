"""dead_letter: a job that is given up waits for an operator, for good."""

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
