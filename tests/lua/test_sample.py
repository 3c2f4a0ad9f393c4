"""sample: how far the counters are, once a step of each series and no more."""

import re

import msgspec
import pytest

from gopher.base.latencies import ADDED, BOUNDS
from gopher.queue.moves import SERIES
from gopher.queue.scripts import read
from gopher.reads.timeline import LISTED

FINE, MIDDLE, COARSE = (step for step, _ in SERIES)


def samples(lab, step=FINE):
    return [msgspec.msgpack.decode(row) for row in lab.redis.zrange(lab.keys.timeline(step), 0, -1)]


def test_a_sample_holds_the_counters_and_the_number_of_jobs_in_each_state(lab):
    lab.seed_completed()
    lab.seed_failed()
    lab.seed_retrying()
    lab.seed_processing()
    lab.seed_pending(3, job_type="report")
    lab.enqueue(due="+60000")
    first, again = lab.run_twice(lab.queue.sample())
    assert (first.taken, again.taken, first.now) == (len(SERIES), 0, lab.now)
    (sample,) = samples(lab)
    assert sample["at"] == lab.now
    assert sample["counted"] == {"enqueued": 8, "dequeued": 4, "completed": 1, "failed": 1, "retried": 1, "kinds": 1}
    assert sample["types"] == {
        "email": {"enqueued": 5, "dequeued": 4, "completed": 1, "failed": 1, "retried": 1},
        "report": {"enqueued": 3},
    }
    standing = {name: sample[name] for name in ("waiting", "running", "scheduled", "retrying", "failed")}
    assert standing == {"waiting": 3, "running": 1, "scheduled": 1, "retrying": 1, "failed": 1}
    assert (sum(sample["run"][:-1]), sample["run"][-1]) == (3, 36_500)
    assert sum(sample["wait"][:-1]) == 4
    assert len(sample["run"]) == len(BOUNDS) - ADDED + 2


def test_an_empty_queue_can_be_sampled(lab):
    assert lab.run(lab.queue.sample()).taken == len(SERIES)
    (sample,) = samples(lab)
    assert (sample["waiting"], dict(sample["counted"])) == (0, {})


def test_each_series_has_a_sample_a_step(lab):
    for _ in range(40):
        lab.run(lab.queue.sample())
        lab.pass_time(9)
    assert len(samples(lab)) == 36
    assert len(samples(lab, MIDDLE)) == 2
    assert len(samples(lab, COARSE)) == 1


def test_the_number_of_samples_is_bounded(lab):
    kept = dict(SERIES)[FINE]
    for _ in range(kept + 5):
        lab.run(lab.queue.sample())
        lab.pass_time(FINE / 1000)
    assert len(samples(lab)) == kept
    assert samples(lab)[-1]["at"] == lab.now - FINE


def test_sampling_continues_after_the_clock_was_set_back(lab):
    lab.run(lab.queue.sample())
    lab.pass_time(-86400)
    assert lab.run(lab.queue.sample()).taken == len(SERIES)
    assert [sample["at"] for sample in samples(lab)] == [lab.now]


def test_jobs_that_are_throttled_or_cancelled_are_counted_as_the_figures_count_them(lab):
    ids = lab.seed_pending(4)
    lab.run(lab.queue.set_limit("image", 0.001, 1.0, None))
    lab.seed_pending(3, job_type="image", priority="high")
    lab.hire()
    lab.fetch(want=1)
    lab.run(lab.queue.cancel(ids[-1]))
    lab.run(lab.queue.sample())
    (sample,) = samples(lab)
    assert sample["waiting"] + sample["running"] == 6


@pytest.mark.parametrize("keys", [20, 21, 130])
def test_jobs_that_are_throttled_in_very_many_lists_are_counted(lab, keys):
    lab.run(lab.queue.set_limit("image", 0.001, 1.0, None, True))
    ids = [lab.enqueue("image", limit_key=f"k{number}") for number in range(keys) for _ in range(2)]
    lab.hire()
    while lab.fetch(want=100):
        pass
    lab.run(lab.queue.cancel(ids[1]))
    lab.run(lab.queue.sample())
    assert samples(lab)[0]["waiting"] == keys - 1


def test_only_the_most_used_types_have_figures_of_their_own(lab):
    for number in range(LISTED + 10):
        lab.enqueue(f"type_{number:03}")
    lab.seed_pending(5, job_type="zz_much_used")
    lab.run(lab.queue.sample())
    (sample,) = samples(lab)
    assert len(sample["types"]) == LISTED
    assert sample["types"]["zz_much_used"] == {"enqueued": 5}
    assert sample["counted"] == {"enqueued": LISTED + 15}


def test_the_number_of_types_is_that_which_the_reader_knows():
    assert int(re.search(r"LISTED = (\d+)", read("sample"))[1]) == LISTED


def test_a_counter_of_something_else_is_not_a_types(lab):
    lab.enqueue()
    lab.redis.hset(lab.keys.totals, mapping={"skipped_overlap:nightly": 2, "completed": 3})
    lab.run(lab.queue.sample())
    (sample,) = samples(lab)
    assert sample["types"] == {"email": {"enqueued": 1}}
    assert (sample["counted"]["skipped_overlap"], sample["counted"]["completed"]) == (2, 3)
    lab.redis.hdel(lab.keys.totals, "completed")


def test_buckets_that_only_a_later_version_knows_are_left_out(lab):
    lab.seed_completed()
    lab.redis.hset(lab.keys.latencies("email"), "run:400", 7)
    lab.run(lab.queue.sample())
    (sample,) = samples(lab)
    assert sum(sample["run"][:-1]) == 1
