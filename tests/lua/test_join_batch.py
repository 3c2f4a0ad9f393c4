"""join_batch: jobs are announced to their batch before they are stored."""

from gopher.jobs.job import new_job_id


def test_each_job_is_counted_once_however_often_it_is_announced(lab):
    batch_id = lab.open_batch()
    rows = [(new_job_id(), "mails", "email") for _ in range(3)]
    assert lab.run_twice(lab.queue.join_batch(batch_id, rows[:2])) == (("OK", []), ("OK", [0, 1]))
    assert lab.run(lab.queue.join_batch(batch_id, rows)) == ("OK", [0, 1])
    assert lab.counts(batch_id) == {"pending": 3}


def test_a_batch_that_does_not_exist_is_missing(lab):
    assert lab.run_twice(lab.queue.join_batch("no", [("a", "mails", "email")])) == (("MISSING", []), ("MISSING", []))


def test_a_sealed_batch_takes_no_more_but_confirms_those_that_it_has(lab):
    batch_id = lab.open_batch()
    rows = [(new_job_id(), "mails", "email") for _ in range(2)]
    lab.run(lab.queue.join_batch(batch_id, rows[:1]))
    lab.run(lab.queue.seal_batch(batch_id))
    assert lab.run(lab.queue.join_batch(batch_id, rows)) == ("SEALED", [])
    assert lab.run(lab.queue.join_batch(batch_id, rows[:1])) == ("OK", [0])
    assert lab.counts(batch_id) == {"pending": 1}


def test_a_job_that_was_taken_out_may_come_again_while_the_batch_is_open(lab):
    batch_id = lab.open_batch()
    rows = [(new_job_id(), "mails", "email")]
    for known in ([], []):
        assert lab.run(lab.queue.join_batch(batch_id, rows)) == ("OK", known)
        assert lab.counts(batch_id) == {"pending": 1}
        lab.run(lab.queue.leave_batch(batch_id, [rows[0][0]]))
    lab.run(lab.queue.seal_batch(batch_id))
    assert lab.run(lab.queue.join_batch(batch_id, rows)) == ("SEALED", [])


def test_each_addition_keeps_an_open_batch_for_longer(lab):
    batch_id = lab.open_batch(retention=600.0)
    lab.join(batch_id, 1)
    for key in (lab.keys.batch(batch_id), lab.keys.batch_jobs(batch_id)):
        assert 590_000 < lab.redis.pttl(key) <= 600_000
