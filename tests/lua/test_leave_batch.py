"""leave_batch: jobs that were announced to a batch, but are not stored, do not count."""


def test_a_job_leaves_once_and_the_batch_ends_without_it(lab):
    batch_id = lab.open_batch("complete")
    one, other = lab.join(batch_id, 2)
    assert lab.run_twice(lab.queue.leave_batch(batch_id, [one])) == (1, 0)
    lab.run(lab.queue.seal_batch(batch_id))
    lab.count(batch_id, (other, "completed", 0))
    assert lab.counts(batch_id) == {"completed": 1, "unstored": 1}
    assert [entry[:4] for entry in lab.posted("reports")] == [["callback", batch_id, "", "complete"]]


def test_a_job_that_has_ended_was_stored(lab):
    batch_id = lab.open_batch()
    (job_id,) = lab.join(batch_id, 1)
    lab.count(batch_id, (job_id, "failed", 1))
    assert lab.run(lab.queue.leave_batch(batch_id, [job_id, "unknown"])) == 0
    assert lab.counts(batch_id) == {"failed": 1}
