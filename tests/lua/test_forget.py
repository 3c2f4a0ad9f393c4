"""forget: what is left of a queue that holds nothing is deleted, and what it has counted is given back."""

import pytest

from gopher.queue.moves import SERIES


def forgotten(lab):
    return lab.run(lab.queue.forget())


def leave(lab):
    """Let worker and lost ones be gone, and the records of ended jobs too."""
    lab.run(lab.queue.resign("w1"))
    lab.pass_time(700)
    lab.run(lab.queue.rescue(None, 0.0))
    for key in lab.redis.scan_iter(lab.keys.prefix + "job:*"):
        lab.redis.delete(key)
    lab.run(lab.queue.prune(0, 60.0, 100))


def test_all_that_is_left_goes(lab):
    lab.run(lab.queue.set_limit("email", 1000.0, 1000.0, 5))
    lab.run(lab.queue.pause("report"))
    lab.seed_completed()
    lab.enqueue(due=str(lab.now + 1))
    lab.pass_time(1)
    lab.run(lab.queue.promote())
    (job,) = lab.fetch()
    assert lab.complete(job) == "OK"
    lab.run(lab.queue.sample())
    leave(lab)
    counted = forgotten(lab)
    assert (counted["enqueued:email:normal"], counted["completed:email"]) == (2, 2)
    assert counted["latencies:email:run:sum_us"] == 25_000
    assert set(lab.everything()) - {"clock", "bucket:email"} == set()
    assert lab.redis.pttl(lab.keys.bucket("email")) > 0


def test_counters_are_returned_once(lab):
    lab.seed_completed()
    leave(lab)
    assert lab.run_twice(lab.queue.forget())[1] == {}


def test_a_pause_of_the_queue_keeps_it(lab):
    lab.run(lab.queue.pause())
    assert forgotten(lab) is None


@pytest.mark.parametrize(
    "fill",
    [
        lambda lab: lab.enqueue(),
        lambda lab: lab.seed_pending(5),
        lambda lab: lab.enqueue(due=str(lab.now + 1000)),
        lambda lab: lab.seed_processing(),
        lambda lab: lab.seed_retrying(),
        lambda lab: lab.seed_failed(),
        lambda lab: lab.seed_completed(),
        lambda lab: lab.hire(),
        lambda lab: (lab.seed_processing(), lab.lose()),
        lambda lab: lab.run(lab.queue.set_schedule("nightly", b"{}", None)),
    ],
)
def test_a_queue_that_holds_anything_stays_as_it_is(lab, fill):
    fill(lab)
    before = lab.everything()
    assert forgotten(lab) is None
    assert lab.everything() == before


def test_throttled_jobs_keep_it(lab):
    lab.run(lab.queue.pause("email"))
    lab.enqueue()
    lab.hire()
    assert lab.fetch() == []
    lab.run(lab.queue.resign("w1"))
    lab.redis.delete(lab.keys.fenced)
    assert lab.scores("throttled")
    assert forgotten(lab) is None


def test_a_queue_that_is_being_registered_stays(lab):
    lab.redis.set(lab.keys.registering, 1)
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None))
    assert forgotten(lab) is None
    assert lab.redis.exists(lab.keys.limit("email"))


def test_all_series_of_samples_are_named(lab):
    assert lab.queue.forget().arguments == tuple(str(step) for step, _ in SERIES)
