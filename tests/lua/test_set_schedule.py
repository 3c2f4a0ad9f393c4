"""set_schedule: a schedule is created or replaced."""


def test_a_schedule_is_stored_with_its_next_time(lab):
    call = lab.queue.set_schedule("nightly", b'{"type":"report"}', lab.now + 5000)
    assert lab.run_twice(call) == ("CREATED", "UNCHANGED")
    assert lab.redis.hgetall(lab.keys.schedules) == {b"nightly": b'{"type":"report"}'}
    assert lab.scores("ticks") == {"nightly": lab.now + 5000}
    assert lab.alarm() == lab.now + 5000


def test_the_same_definition_again_keeps_the_next_time(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now + 5000))
    assert lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now + 9000)) == "UNCHANGED"
    assert lab.scores("ticks") == {"nightly": lab.now + 5000}


def test_another_definition_replaces_it(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now + 5000))
    call = lab.queue.set_schedule("nightly", b'{"n":2}', lab.now + 9000)
    assert lab.run_twice(call) == ("REPLACED", "UNCHANGED")
    assert lab.scores("ticks") == {"nightly": lab.now + 9000}


def test_a_paused_one_has_no_next_time(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now + 5000))
    assert lab.run(lab.queue.set_schedule("nightly", b'{"paused":true}', None)) == "REPLACED"
    assert lab.scores("ticks") == {}
