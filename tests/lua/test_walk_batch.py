"""walk_batch: all jobs of a batch are cancelled or retried, which schedulers do gradually."""


def test_cancelling_seals_the_batch_and_wakes_a_scheduler(lab):
    batch_id = lab.open_batch()
    lab.join(batch_id, 1)
    assert lab.run_twice(lab.queue.walk_batch(batch_id, "cancel")) == ("STARTED", "STARTED")
    assert {"sealed_at", "cancelled_at"} <= lab.batch(batch_id).keys()
    assert lab.alarm() == lab.now
    assert lab.run(lab.queue.survey()).next_due == lab.now


def test_one_is_under_way_at_a_time(lab):
    batch_id = lab.open_batch()
    lab.join(batch_id, 1)
    lab.run(lab.queue.walk_batch(batch_id, "redrive"))
    assert lab.run(lab.queue.walk_batch(batch_id, "cancel")) == "BUSY"
    assert "cancelled_at" not in lab.batch(batch_id)
    assert lab.run(lab.queue.walk_batch("no", "cancel")) == "MISSING"
