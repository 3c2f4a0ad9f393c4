"""start_cancellation: all jobs that match a filter are to be cancelled."""


def test_it_notes_what_is_to_be_looked_at_and_wakes_a_scheduler(lab):
    lab.seed_pending(3)
    lab.enqueue(due="+5000")
    first, again = lab.run_twice(lab.queue.start_cancellation("c", ["pending", "scheduled"], "email"))
    assert (first, again) == (4, 4)
    assert lab.alarm() == lab.now
    assert lab.scores("cancellations") == {"c": lab.now}
    assert lab.run(lab.queue.survey()).holds
