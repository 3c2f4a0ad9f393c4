"""withdraw: the schedule or limit of a handler that no running process declares any more."""

import pytest

from tests.lua.lab import new_job

AFTER = 600.0


@pytest.fixture
def declared(lab):
    """A schedule and a limit of handlers that were announced once, and nothing else."""
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now + 5000))
    lab.run(lab.queue.tick("nightly", b"{}", lab.now + 5000, lab.now + 10_000, [new_job("report")]))
    lab.run(lab.queue.set_limit("email", 0.001, 1.0, 2, origin="handler"))
    lab.run(lab.queue.announce(["schedule:nightly", "limit:email"]))
    return lab


def test_a_schedule_is_gone_when_it_was_not_announced_for_long_enough(declared):
    declared.pass_time(AFTER)
    call = declared.queue.withdraw("schedule", "nightly", AFTER, b"{}")
    assert declared.run_twice(call) == ("WITHDRAWN", "CHANGED")
    for key in (declared.keys.schedules, declared.keys.ticks, declared.keys.last):
        assert not declared.redis.exists(key)
    assert declared.scores("declared").keys() == {"limit:email"}


def test_a_limit_is_gone_and_what_waits_for_it_is_looked_at_at_once(declared):
    ids = [declared.enqueue() for _ in range(3)]
    declared.hire()
    assert [job.id for job in declared.fetch(want=5)][1:] == ids[:1]
    declared.pass_time(AFTER)
    declared.hire()
    assert declared.run_twice(declared.queue.withdraw("limit", "email", AFTER)) == ("WITHDRAWN", "CHANGED")
    assert not declared.redis.exists(declared.keys.limit("email"))
    assert declared.redis.smembers(declared.keys.limited) == set()
    assert [job.id for job in declared.fetch(want=5)] == ids[1:]
    assert declared.scores("declared").keys() == {"schedule:nightly"}


@pytest.mark.parametrize(("kind", "name", "definition"), [("schedule", "nightly", b"{}"), ("limit", "email", b"")])
def test_what_was_announced_again_meanwhile_stays(declared, kind, name, definition):
    declared.pass_time(AFTER - 0.001)
    before = declared.everything()
    call = declared.queue.withdraw(kind, name, AFTER, definition)
    assert declared.run_twice(call) == ("DECLARED", "DECLARED")
    assert declared.everything() == before


@pytest.mark.parametrize(("kind", "name"), [("schedule", "weekly"), ("limit", "sms")])
def test_what_was_never_announced_stays(declared, kind, name):
    declared.run(declared.queue.set_schedule("weekly", b"{}", declared.now))
    declared.run(declared.queue.set_limit("sms", 1.0, 1.0, None, origin="handler"))
    declared.pass_time(AFTER)
    before = declared.everything()
    assert declared.run(declared.queue.withdraw(kind, name, AFTER, b"{}")) == "CHANGED"
    assert declared.everything() == before


def test_a_schedule_that_an_operator_has_replaced_meanwhile_stays(declared):
    declared.run(declared.queue.set_schedule("nightly", b'{"by":"hand"}', declared.now + 7000))
    declared.pass_time(AFTER)
    assert declared.run(declared.queue.withdraw("schedule", "nightly", AFTER, b"{}")) == "CHANGED"
    assert declared.redis.hgetall(declared.keys.schedules) == {b"nightly": b'{"by":"hand"}'}
    assert declared.scores("ticks") == {"nightly": declared.now - round(AFTER * 1000) + 7000}
    assert declared.scores("declared").keys() == {"limit:email"}


def test_a_limit_that_an_operator_has_set_meanwhile_stays(declared):
    declared.run(declared.queue.set_limit("email", 5.0, 5.0, None))
    declared.pass_time(AFTER)
    assert declared.run(declared.queue.withdraw("limit", "email", AFTER)) == "CHANGED"
    assert declared.redis.hget(declared.keys.limit("email"), "rate") == b"5.0"
    assert declared.redis.smembers(declared.keys.limited) == {b"email"}
    assert declared.scores("declared").keys() == {"schedule:nightly"}


def test_a_pause_of_the_type_outlasts_its_limit(declared):
    declared.run(declared.queue.pause("email"))
    declared.pass_time(AFTER)
    assert declared.run(declared.queue.withdraw("limit", "email", AFTER)) == "WITHDRAWN"
    assert list(declared.redis.hgetall(declared.keys.limit("email"))) == [b"paused"]
    assert declared.redis.smembers(declared.keys.limited) == {b"email"}
