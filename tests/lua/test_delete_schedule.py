"""delete_schedule: a schedule is forgotten, its jobs go on."""

import pytest

from gopher.reads.schedules import Copy
from tests.lua.lab import new_job

HOUR = 3600.0


def version(lab, name="nightly"):
    """Return what a reader knows of a schedule: when it was changed last, and what it is."""
    (changed,) = lab.redis.hmget(lab.keys.versions, name)
    definition = lab.redis.hget(lab.keys.schedules, name)
    return Copy("default", definition, int(changed)).version


def test_it_is_gone(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now))
    job = new_job()
    lab.run(lab.queue.tick("nightly", b"{}", lab.now, lab.now + 1000, [job]))
    assert lab.run_twice(lab.queue.delete_schedule("nightly")) == ("DELETED", "ABSENT")
    for key in (lab.keys.schedules, lab.keys.ticks, lab.keys.last, lab.keys.versions):
        assert not lab.redis.exists(key)
    assert lab.state(job.id) == "pending"


def test_one_that_is_not_there_is_not_deleted(lab):
    assert lab.run(lab.queue.delete_schedule("nightly")) == "ABSENT"
    assert lab.everything() == {"clock": b"%d" % lab.now}


def test_one_that_was_changed_since_it_was_read_is_kept(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now))
    read = version(lab)
    lab.run(lab.queue.set_schedule("nightly", b'{"n":2}', lab.now))
    assert lab.run_twice(lab.queue.delete_schedule("nightly", read)) == ("CHANGED", "CHANGED")
    assert lab.run_twice(lab.queue.delete_schedule("nightly", version(lab))) == ("DELETED", "ABSENT")


@pytest.mark.parametrize("since", [0.0, HOUR + 1])
def test_its_version_is_remembered_for_an_hour(lab, since):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now))
    lab.run(lab.queue.delete_schedule("nightly"))
    assert lab.scores("removed") == {"nightly": lab.now}
    lab.pass_time(since)
    lab.run(lab.queue.set_schedule("hourly", b"{}", lab.now))
    lab.run(lab.queue.delete_schedule("hourly"))
    assert lab.scores("removed").keys() == ({"nightly", "hourly"} if not since else {"hourly"})
