"""pause: a queue, or a type, gives out nothing; what runs goes on."""


def test_a_paused_queue_puts_its_head_back(lab):
    first, second = lab.seed_pending(2)
    assert lab.run_twice(lab.queue.pause()) == (True, False)
    assert lab.standing("next") == []
    assert lab.standing("pending:normal") == [first, second]
    assert lab.redis.get(lab.keys.paused) == str(lab.now).encode()


def test_a_repeat_keeps_since_when(lab):
    lab.run(lab.queue.pause())
    since = lab.now
    lab.pass_time(60)
    lab.run(lab.queue.pause())
    assert lab.redis.get(lab.keys.paused) == str(since).encode()


def test_an_empty_queue_can_be_paused(lab):
    assert lab.run(lab.queue.pause()) is True


def test_running_jobs_can_be_settled(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.pause())
    assert lab.complete(job) == "OK"


def test_nothing_arms_a_paused_queue(lab):
    job = lab.seed_processing()
    lost = lab.seed_processing("w2")
    dead = lab.seed_failed()
    lab.enqueue(due="+1000")
    lab.run(lab.queue.pause())
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    lab.run(lab.queue.redrive([dead]))
    lab.lose("w2")
    lab.run(lab.queue.promote())
    assert lab.standing("next") == []
    assert lab.state(lost.id) == "pending"


def test_a_paused_type_is_noted_once(lab):
    assert lab.run(lab.queue.pause("email")) is True
    lab.pass_time(1)
    assert lab.run(lab.queue.pause("email")) is False
    assert lab.redis.smembers(lab.keys.limited) == {b"email"}


def test_other_types_continue(lab):
    lab.run(lab.queue.pause("email"))
    lab.enqueue()
    other = lab.enqueue("report")
    lab.hire()
    assert [job.id for job in lab.fetch(want=5)] == [other]
