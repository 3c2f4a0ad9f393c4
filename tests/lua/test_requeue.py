"""requeue: a job is given back unfinished, its attempt not counted."""


def test_the_job_goes_to_the_head_of_its_priority(lab):
    job = lab.seed_processing()
    first, second = lab.seed_pending(2)
    assert lab.run(lab.queue.requeue("w1", job.id, job.token)) == "OK"
    assert lab.standing("next") == [first]
    assert lab.standing("pending:normal") == [job.id, second]
    record = lab.record(job.id)
    assert (record["state"], record["attempts"], record["since"]) == ("pending", "0", str(lab.now))


def test_it_is_the_next_when_nothing_else_waits(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    assert lab.standing("next") == [job.id]


def test_its_next_attempt_has_the_same_number(lab):
    job = lab.seed_processing()
    assert job.attempt == 1
    lab.run_twice(lab.queue.requeue("w1", job.id, job.token))
    (again,) = lab.fetch()
    assert again.attempt == 1


def test_a_job_with_a_delay_is_scheduled(lab):
    job = lab.seed_processing()
    assert lab.run_twice(lab.queue.requeue("w1", job.id, job.token, 5.0)) == ("OK", "ALREADY")
    assert lab.scores("scheduled") == {job.id: lab.now + 5000}
    assert lab.record(job.id)["due"] == str(lab.now + 5000)
    assert lab.alarm() == lab.now + 5000


def test_a_job_that_was_cancelled_meanwhile_is_cancelled(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    assert lab.run_twice(lab.queue.requeue("w1", job.id, job.token)) == ("OK", "ALREADY")
    assert lab.state(job.id) == "cancelled"
    assert lab.totals()["cancelled:email"] == 1
    assert lab.standing("next") == []


def test_in_a_paused_queue_it_waits_in_its_list(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.pause())
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    assert (lab.standing("next"), lab.standing("pending:normal")) == ([], [job.id])
