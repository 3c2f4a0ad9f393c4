"""stop_cancellation: no more jobs are cancelled."""


def test_jobs_that_are_left_go_on_waiting(lab):
    ids = lab.seed_pending(1500)
    lab.run(lab.queue.start_cancellation("c", ["pending"]))
    lab.run(lab.queue.continue_cancellations(100))
    cancelled = lab.totals()["cancelled:email"]
    assert 0 < cancelled < 1500
    first, again = lab.run_twice(lab.queue.stop_cancellation("c"))
    assert (first, again) == ("STOPPED", "stopped")
    lab.pass_time(60)
    assert lab.run(lab.queue.continue_cancellations()).moved == 0
    assert sum(lab.state(job_id) == "pending" for job_id in ids) == 1500 - cancelled
    assert 0 < lab.redis.pttl(lab.keys.cancellation("c")) <= 86_400_000


def test_one_that_has_ended_returns_how_and_one_that_is_not_there_is_missing(lab):
    lab.run(lab.queue.start_cancellation("c", ["pending"]))
    lab.run(lab.queue.continue_cancellations())
    assert lab.run(lab.queue.stop_cancellation("c")) == "finished"
    assert lab.run(lab.queue.stop_cancellation("nothing")) == "MISSING"
