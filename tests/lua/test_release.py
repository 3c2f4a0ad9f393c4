"""release: what RateLimited has throttled goes on before its time."""


def throttled(lab, limit_key="", scope="key"):
    job = lab.seed_processing(limit_key=limit_key)
    assert lab.run(lab.queue.throttle("w1", job.id, job.token, 60.0, scope)) == "OK"
    return job.id


def test_a_released_key_starts_at_once_and_other_keys_stay_throttled(lab):
    ann, _bob = throttled(lab, "ann"), throttled(lab, "bob")
    assert lab.run_twice(lab.queue.release("email", "ann")) == (1, 0)
    assert [job.id for job in lab.fetch(want=5)] == [ann]


def test_a_released_type_starts_all_of_its_jobs_and_is_looked_at_no_more(lab):
    ids = {throttled(lab, "ann"), throttled(lab, "bob"), throttled(lab)}
    assert lab.run_twice(lab.queue.release("email")) == (3, 0)
    assert {job.id for job in lab.fetch(want=5)} == ids
    assert lab.redis.exists(lab.keys.limited, lab.keys.limit("email"), lab.keys.held("email")) == 0


def test_a_released_type_keeps_its_limit(lab):
    lab.run(lab.queue.set_limit("email", None, None, 2))
    throttled(lab)
    assert lab.run(lab.queue.release("email")) == 1
    assert lab.redis.hget(lab.keys.limit("email"), "concurrency") == b"2"
    assert lab.redis.smembers(lab.keys.limited) == {b"email"}


def test_a_sleeping_scheduler_starts_what_is_released(lab):
    job_id = throttled(lab, "ann")
    lab.run(lab.queue.release("email", "ann"))
    assert lab.alarm() == lab.now
    assert lab.run(lab.queue.promote()).moved == 1
    assert lab.standing("next") == [job_id]


def test_what_was_not_throttled_is_not_released(lab):
    assert lab.run(lab.queue.release("email")) == 0
    assert lab.run(lab.queue.release("email", "ann")) == 0
