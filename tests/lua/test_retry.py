"""retry: a failed attempt is kept, and the job waits for its next one."""

from tests.lua.lab import ERROR, failure


def test_the_job_waits_for_its_next_attempt_with_what_went_wrong(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.report([(job.id, job.token, b'{"fraction":0.5}', b"")]))
    assert lab.run(lab.queue.retry("w1", failure(job, log=b"[]"), 4.0)) == "OK"
    record = lab.record(job.id)
    assert (record["state"], record["due"], record["error"]) == ("retrying", str(lab.now + 4000), ERROR.decode())
    assert (record["attempts"], record["log:1"]) == ("1", "[]")
    assert not {"progress", "crashes"} & set(record)
    assert lab.scores("retrying") == {job.id: lab.now + 4000}
    assert lab.alarm() == lab.now + 4000
    assert lab.totals()["retried:email"] == 1
    assert [row["outcome"] for row in lab.history(job.id)] == ["failed"]


def test_each_attempt_is_a_row_of_the_history_and_is_counted(lab):
    job = lab.seed_processing()
    for attempt in (1, 2, 3):
        assert job.attempt == attempt
        lab.run(lab.queue.retry("w1", failure(job), 1.0))
        lab.pass_time(1)
        lab.run(lab.queue.promote())
        (job,) = lab.fetch()
    assert len(lab.history(job.id)) == 3


def test_how_children_died_is_kept_apart(lab):
    job = lab.seed_processing()
    for crash in ("SIGSEGV", "exit 0"):
        lab.run(lab.queue.retry("w1", failure(job, crash=crash), 0.0))
        lab.run(lab.queue.promote())
        (job,) = lab.fetch()
    assert job.crashes == ("SIGSEGV", "exit 0")


def test_a_job_that_was_cancelled_meanwhile_is_not_retried(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    first, again = lab.run_twice(lab.queue.retry("w1", failure(job), 4.0))
    assert (first, again) == ("OK", "ALREADY")
    assert lab.state(job.id) == "cancelled"
    assert lab.standing("retrying") == []
    assert lab.totals()["cancelled:email"] == 1


def test_a_cancelled_job_without_retention_is_gone(lab):
    job = lab.seed_processing(retention=0)
    lab.run(lab.queue.cancel(job.id))
    assert lab.run_twice(lab.queue.retry("w1", failure(job), 4.0)) == ("OK", "MISSING")
    assert lab.record(job.id) == {}


def test_a_job_that_started_in_time_may_be_tried_again_later_than_that(lab):
    job = lab.seed_processing(expires="+2000")
    lab.run(lab.queue.retry("w1", failure(job), 3.0))
    lab.pass_time(3)
    lab.hire()
    lab.run(lab.queue.promote())
    assert [again.id for again in lab.fetch()] == [job.id]
