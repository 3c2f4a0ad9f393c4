"""seal_batch: a batch ends with the last of the jobs that it has."""


def test_it_is_sealed_once(lab):
    batch_id = lab.open_batch()
    lab.join(batch_id, 1)
    assert lab.run_twice(lab.queue.seal_batch(batch_id)) == ("SEALED", "ALREADY")
    assert lab.run(lab.queue.seal_batch("no")) == "MISSING"


def test_an_empty_batch_has_succeeded_as_soon_as_it_is_sealed(lab):
    batch_id = lab.open_batch("complete", "success", "failure")
    lab.run(lab.queue.seal_batch(batch_id))
    assert [entry[3] for entry in lab.posted("reports")] == ["complete", "success"]
    assert [entry[6] for entry in lab.posted("reports")] == ["on complete", "on success"]


def test_a_sealed_batch_is_kept_until_its_jobs_have_ended_and_then_for_its_retention(lab):
    batch_id = lab.open_batch(retention=600.0)
    (job_id,) = lab.join(batch_id, 1)
    lab.run(lab.queue.seal_batch(batch_id))
    keys = (lab.keys.batch(batch_id), lab.keys.batch_jobs(batch_id))
    assert [lab.redis.pttl(key) for key in keys] == [-1, -1]
    lab.count(batch_id, (job_id, "completed", 0))
    assert all(0 < lab.redis.pttl(key) <= 600_000 for key in keys)
