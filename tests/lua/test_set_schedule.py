"""set_schedule: a schedule is created or replaced."""

from gopher.queue.schedule_moves import MOVED
from gopher.reads.schedules import Copy


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


def version(lab):
    changed = lab.redis.hget(lab.keys.versions, "nightly")
    return Copy("default", lab.redis.hget(lab.keys.schedules, "nightly"), int(changed or 0)).version


def test_each_change_makes_a_later_version_also_within_one_millisecond_and_when_the_clock_goes_back(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", None))
    for number, seconds in enumerate((0, 10, -60, 0)):
        before = int(lab.redis.hget(lab.keys.versions, "nightly"))
        lab.pass_time(seconds)
        lab.run(lab.queue.set_schedule("nightly", b'{"n":%d}' % number, None))
        assert int(lab.redis.hget(lab.keys.versions, "nightly")) == max(before + 1, lab.now)


def test_one_that_was_changed_since_it_was_read_is_not_replaced(lab):
    assert lab.run(lab.queue.set_schedule("nightly", b"{}", None, "")) == "CREATED"
    assert lab.run(lab.queue.set_schedule("nightly", b'{"n":1}', None, "")) == "CHANGED"
    read = version(lab)
    assert lab.run_twice(lab.queue.set_schedule("nightly", b'{"n":1}', None, read)) == ("REPLACED", "UNCHANGED")
    assert lab.run_twice(lab.queue.set_schedule("nightly", b'{"n":2}', lab.now, read)) == ("CHANGED", "CHANGED")
    assert (lab.scores("ticks"), lab.alarm()) == ({}, None)
    # An earlier version of Gopher changes the definition alone.
    read = version(lab)
    lab.redis.hset(lab.keys.schedules, "nightly", b'{"n":3}')
    assert lab.run(lab.queue.set_schedule("nightly", b'{"n":4}', None, read)) == "CHANGED"
    lab.redis.hdel(lab.keys.versions, "nightly")
    assert lab.run(lab.queue.set_schedule("nightly", b'{"n":4}', None, version(lab))) == "REPLACED"


def test_one_that_was_deleted_since_it_was_read_is_not_created_again(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", None))
    read = version(lab)
    lab.run(lab.queue.delete_schedule("nightly"))
    assert lab.run_twice(lab.queue.set_schedule("nightly", b'{"n":1}', None, read)) == ("CHANGED", "CHANGED")


def test_a_new_version_is_at_least_as_late_as_the_caller_says(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", None, "", least=lab.now + 77))
    assert lab.redis.hget(lab.keys.versions, "nightly") == b"%d" % (lab.now + 77)


def test_one_that_moves_here_keeps_its_version_and_comes_once(lab):
    move = lab.queue.set_schedule("nightly", b"{}", lab.now + 5000, MOVED, least=lab.now - 7)
    assert lab.run_twice(move) == ("CREATED", "CHANGED")
    assert (version(lab), lab.scores("ticks")) == (
        Copy("", b"{}", lab.now - 7).version,
        {"nightly": lab.now + 5000},
    )
    # What was changed or deleted here since then is not undone by a late repeat.
    lab.run(lab.queue.set_schedule("nightly", b'{"n":1}', None))
    assert lab.run_twice(move) == ("CHANGED", "CHANGED")
    lab.run(lab.queue.delete_schedule("nightly"))
    assert lab.run_twice(move) == ("CHANGED", "CHANGED")
    # It came back from another queue in a later version.
    again = lab.queue.set_schedule("nightly", b"{}", None, MOVED, least=lab.now + 9)
    assert lab.run_twice(again) == ("CREATED", "CHANGED")
    # A later version replaces what a process has left here.
    later = lab.queue.set_schedule("nightly", b"{}", None, MOVED, least=lab.now + 19)
    assert lab.run(later) == "REPLACED"
