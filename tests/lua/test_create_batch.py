"""create_batch: a batch that takes jobs."""

from gopher.jobs.job import new_job_id


def test_it_is_there_once_however_often_it_is_created_and_expires_when_nothing_is_added(lab):
    batch_id = new_job_id()
    assert lab.run_twice(lab.queue.create_batch(batch_id, 60.0, {"name": "a"})) == ("CREATED", "EXISTS")
    assert lab.run(lab.queue.create_batch(batch_id, 60.0, {"name": "b"})) == "EXISTS"
    assert lab.batch(batch_id)["name"] == "a"
    assert lab.scores("batches") == {batch_id: lab.now}
    assert 0 < lab.redis.pttl(lab.keys.batch(batch_id)) <= 60_000


def test_a_queue_with_a_batch_is_not_removed(lab):
    lab.open_batch()
    assert lab.run(lab.queue.survey()).holds
    assert lab.run(lab.queue.forget()) is None
