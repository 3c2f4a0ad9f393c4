"""set_limit: how fast and how many jobs of a type may start."""

import pytest


def limit(lab, job_type="email"):
    found = lab.redis.hgetall(lab.keys.limit(job_type))
    return {name.decode(): value.decode() for name, value in found.items()}


def test_it_is_kept_and_the_type_is_looked_at_from_now_on(lab):
    assert lab.run_twice(lab.queue.set_limit("email", 2.5, 3.0, 4)) == ("SET", "SET")
    assert limit(lab) == {"rate": "2.5", "burst": "3.0", "concurrency": "4", "origin": "api"}
    assert lab.redis.smembers(lab.keys.limited) == {b"email"}


def test_a_new_one_replaces_all_of_the_old_one(lab):
    lab.run(lab.queue.set_limit("email", 2.5, 3.0, None))
    lab.run(lab.queue.set_limit("email", None, None, 4))
    assert limit(lab) == {"concurrency": "4", "origin": "api"}


def test_none_at_all_takes_it_away(lab):
    lab.run(lab.queue.set_limit("email", 2.5, 3.0, None))
    assert lab.run_twice(lab.queue.set_limit("email", None, None, None)) == ("SET", "SET")
    assert limit(lab) == {}
    assert lab.redis.smembers(lab.keys.limited) == set()


def test_what_the_code_declares_never_replaces_an_operators_word(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None, origin="handler"))
    lab.run(lab.queue.set_limit("email", 2.0, 2.0, None))
    assert lab.run_twice(lab.queue.set_limit("email", 3.0, 3.0, None, origin="handler")) == ("KEPT", "KEPT")
    assert limit(lab)["rate"] == "2.0"


def test_what_the_code_declares_counts_again_once_the_operator_takes_his_away(lab):
    lab.run(lab.queue.set_limit("email", 2.0, 2.0, None))
    lab.run(lab.queue.set_limit("email", None, None, None))
    assert lab.run(lab.queue.set_limit("email", 3.0, 3.0, None, origin="handler")) == "SET"


def test_a_pause_of_the_type_outlasts_its_limit(lab):
    lab.run(lab.queue.pause("email"))
    lab.run(lab.queue.set_limit("email", 2.0, 2.0, None))
    lab.run(lab.queue.set_limit("email", None, None, None))
    assert list(limit(lab)) == ["paused"]
    assert lab.redis.smembers(lab.keys.limited) == {b"email"}


@pytest.mark.parametrize("key", ["", "tenant"])
def test_what_waits_is_looked_at_at_once(lab, key):
    lab.run(lab.queue.set_limit("email", 0.001, 1.0, None))
    ids = [lab.enqueue(limit_key=key) for _ in range(3)]
    lab.hire()
    assert [job.id for job in lab.fetch(want=5)] == ids[:1]
    lab.run(lab.queue.set_limit("email", None, None, None))
    assert lab.alarm() == lab.now
    assert [job.id for job in lab.fetch(want=5)] == ids[1:]
