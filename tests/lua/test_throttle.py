"""throttle: the other side said "slow down", so the whole type rests for a while."""


def test_the_type_rests_and_the_job_goes_first_then(lab):
    job = lab.seed_processing()
    younger = lab.enqueue()
    assert lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0)) == "OK"
    assert lab.standing("throttled:email:normal") == [job.id]
    assert lab.record(job.id)["attempts"] == "0"
    assert lab.scores("throttled") == {"email": lab.now + 5000}
    assert lab.alarm() == lab.now + 5000
    assert lab.fetch(want=5) == []
    lab.pass_time(5)
    assert [again.id for again in lab.fetch(want=5)] == [job.id, younger]


def test_the_job_goes_before_those_that_are_throttled_already(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    job = lab.seed_processing()
    younger = lab.enqueue()
    assert lab.fetch() == []
    lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0))
    assert lab.standing("throttled:email:normal") == [job.id, younger]


def test_other_types_go_on(lab):
    job = lab.seed_processing()
    other = lab.enqueue("report")
    lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0))
    assert [each.id for each in lab.fetch(want=5)] == [other]


def test_a_shorter_rest_does_not_end_a_longer_one(lab):
    first, second = lab.seed_processing(), lab.seed_processing()
    lab.run(lab.queue.throttle("w1", first.id, first.token, 9.0))
    lab.run(lab.queue.throttle("w1", second.id, second.token, 1.0))
    lab.pass_time(8)
    assert lab.fetch(want=5) == []
    lab.pass_time(1)
    assert len(lab.fetch(want=5)) == 2


def test_the_scheduler_ends_the_rest_for_workers_that_sleep(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0))
    lab.pass_time(5)
    assert lab.run(lab.queue.promote()).moved == 1
    assert lab.standing("next") == [job.id]


def test_a_job_that_somebody_has_cancelled_is_cancelled_and_the_type_rests_all_the_same(lab):
    job = lab.seed_processing()
    younger = lab.enqueue()
    lab.run(lab.queue.cancel(job.id))
    assert lab.run_twice(lab.queue.throttle("w1", job.id, job.token, 5.0)) == ("OK", "ALREADY")
    assert lab.state(job.id) == "cancelled"
    assert lab.fetch(want=5) == []
    assert lab.standing("throttled:email:normal") == [younger]
