"""look: fields of many records in one call."""

from gopher.jobs.job import new_job_id


def test_it_answers_in_order_and_omits_what_is_not_there(lab):
    running, waiting = lab.seed_processing(), lab.enqueue()
    look = lab.queue.read_fields([running.id, new_job_id(), waiting], ["state", "attempts"])
    assert lab.run_twice(look)[0] == [[b"processing", b"1"], [None, None], [b"pending", None]]


def test_a_corrupt_record_reads_as_missing(lab):
    job_id = new_job_id()
    lab.redis.set(lab.keys.job(job_id), "nonsense")
    assert lab.run(lab.queue.read_fields([job_id], ["state"])) == [[None]]
    lab.redis.delete(lab.keys.job(job_id))


def test_no_ids_are_no_records(lab):
    assert lab.run(lab.queue.read_fields([], ["state", "type"])) == []


def test_a_thousand_records_fit_into_a_call(lab):
    ids = lab.seed_pending(1000)
    assert lab.run(lab.queue.read_fields(ids, ["type"])) == [[b"email"]] * 1000
