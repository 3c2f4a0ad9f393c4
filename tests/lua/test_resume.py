"""resume: a queue, or a type, goes on."""


def test_a_resumed_queue_is_armed_again(lab):
    lab.run(lab.queue.pause())
    first, second = lab.seed_pending(2)
    assert lab.run_twice(lab.queue.resume()) == (True, False)
    assert lab.standing("next") == [first]
    assert lab.standing("pending:normal") == [second]


def test_what_was_not_paused_is_not_resumed(lab):
    assert lab.run(lab.queue.resume()) is False
    assert lab.run(lab.queue.resume("email")) is False


def test_a_resumed_type_is_looked_at_no_more(lab):
    lab.run(lab.queue.pause("email"))
    assert lab.run_twice(lab.queue.resume("email")) == (True, False)
    assert lab.redis.smembers(lab.keys.limited) == set()


def test_a_resumed_type_keeps_its_limit(lab):
    lab.run(lab.queue.set_limit("email", None, None, 2))
    lab.run(lab.queue.pause("email"))
    lab.run(lab.queue.resume("email"))
    assert lab.redis.smembers(lab.keys.limited) == {b"email"}
    assert lab.redis.hget(lab.keys.limit("email"), "concurrency") == b"2"


def test_a_paused_queue_with_a_resumed_type_stays_paused(lab):
    lab.enqueue()
    lab.run(lab.queue.pause())
    lab.run(lab.queue.pause("email"))
    lab.run(lab.queue.resume("email"))
    assert lab.standing("next") == []
