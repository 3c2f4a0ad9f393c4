"""resign: a worker that leaves and holds nothing gives its lease back."""


def test_its_lease_ends_at_once(lab):
    lab.hire()
    assert lab.run_twice(lab.queue.resign("w1")) == ("OK", "OK")
    assert lab.scores("workers") == {}
    assert lab.run(lab.fetch_call()).lost
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).lost


def test_a_worker_that_holds_a_job_keeps_its_lease(lab):
    job = lab.seed_processing()
    assert lab.run_twice(lab.queue.resign("w1")) == ("HOLDS", "HOLDS")
    assert lab.complete(job) == "OK"
    assert lab.run(lab.queue.resign("w1")) == "OK"


def test_a_job_that_its_blocking_pop_is_given_afterwards_comes_back(lab):
    lab.hire()
    lab.run(lab.queue.resign("w1"))
    job_id = lab.enqueue()
    lab.hand_over()
    assert lab.run(lab.queue.rescue(None, 0.0)).returned == 1
    assert lab.standing("next") == [job_id]


def test_it_is_not_asked_to_cancel_anything_any_more(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    lab.complete(job)
    cancelling = lab.keys.prefix + "cancelling:w1"
    lab.redis.sadd(cancelling, job.id)
    assert lab.run(lab.queue.resign("w1")) == "OK"
    assert not lab.redis.exists(cancelling)
