"""note_copy: a job's record has the ids of its latest copies."""

from gopher.jobs.job import new_job_id


def test_the_latest_copies_are_kept(lab):
    job_id = lab.seed_completed()
    copies = [new_job_id() for _ in range(22)]
    for each in copies:
        assert lab.run_twice(lab.queue.note_copy(job_id, each)) == ("OK", "OK")
    assert lab.record(job_id)["copies"].split(",") == copies[2:]


def test_nothing_is_noted_of_a_job_that_is_gone(lab):
    assert lab.run_twice(lab.queue.note_copy(new_job_id(), new_job_id())) == ("MISSING", "MISSING")
