"""find_texts: which records have texts in their fields."""

from gopher.jobs.job import new_job_id
from gopher.queue.reading_moves import Text


def test_all_texts_have_to_be_in_their_fields(lab):
    lab.hire()
    failed, waiting = lab.seed_failed(), lab.enqueue()
    error, payload = Text("error", "it broke"), Text("envelope", '"payload"')
    assert lab.run_twice(lab.queue.find_texts([failed, waiting, new_job_id()], [error]))[0] == [True, False, False]
    assert lab.run(lab.queue.find_texts([failed, waiting], [payload, error])) == [True, False]
    assert lab.run(lab.queue.find_texts([failed, waiting], [payload])) == [True, True]


def test_the_case_counts_unless_it_is_ignored_and_patterns_mean_nothing(lab):
    failed = [lab.seed_failed()]
    assert lab.run(lab.queue.find_texts(failed, [Text("error", "valueerror")])) == [False]
    assert lab.run(lab.queue.find_texts(failed, [Text("error", "valueerror", folded=True)])) == [True]
    assert lab.run(lab.queue.find_texts(failed, [Text("error", "it.broke")])) == [False]


def test_a_corrupt_record_has_no_text(lab):
    job_id = new_job_id()
    lab.redis.set(lab.keys.job(job_id), "nonsense")
    assert lab.run(lab.queue.find_texts([job_id], [Text("error", "nonsense")])) == [False]
    lab.redis.delete(lab.keys.job(job_id))


def test_no_ids_are_no_records(lab):
    assert lab.run(lab.queue.find_texts([], [Text("error", "x")])) == []
