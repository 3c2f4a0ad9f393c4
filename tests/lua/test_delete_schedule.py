"""delete_schedule: a schedule is forgotten, its jobs go on."""

from tests.lua.lab import new_job


def test_it_is_gone(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now))
    job = new_job()
    lab.run(lab.queue.tick("nightly", b"{}", lab.now, lab.now + 1000, [job]))
    assert lab.run_twice(lab.queue.delete_schedule("nightly")) == (True, False)
    for key in (lab.keys.schedules, lab.keys.ticks, lab.keys.last):
        assert not lab.redis.exists(key)
    assert lab.state(job.id) == "pending"


def test_one_that_is_not_there_is_not_deleted(lab):
    assert lab.run(lab.queue.delete_schedule("nightly")) is False
