"""What happened over time, as plots show it."""

import msgspec
import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import InvalidJob
from gopher.queue.arguments import Completion
from gopher.queue.store import Server
from gopher.reads.histogram import quantile
from gopher.reads.timeline import timeline, window_of
from tests.lua.lab import Lab


@pytest.fixture
def lab(redis_url, namespace):
    """A queue whose clock is a few minutes behind the server's: what is sampled lies within the window."""
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as server:
        server.register_queues("default")
        lab = Lab(server)
        lab.set_clock((int(server.client.time()[0]) // 10 * 10 - 300) * 1000)
        yield lab


def sampled(lab, seconds=10.0):
    lab.run(lab.queue.sample())
    lab.pass_time(seconds)


def test_a_point_is_what_happened_between_two_samples(lab):
    sampled(lab)
    lab.seed_completed()
    lab.seed_completed(job_type="report")
    lab.seed_failed()
    sampled(lab)
    sampled(lab)
    lab.seed_retrying()
    sampled(lab)
    first, nothing, last = timeline(lab.server, "1h").points
    assert (first.enqueued, first.dequeued, first.completed, first.failed, first.retried) == (3, 3, 2, 1, 0)
    assert first.types == {
        "email": {"enqueued": 2, "dequeued": 2, "completed": 1, "failed": 1},
        "report": {"enqueued": 1, "dequeued": 1, "completed": 1},
    }
    assert first.seconds == 10
    assert (first.run.count, first.run.mean) == (3, pytest.approx(0.0123, abs=0.0002))
    assert 0.01 < first.run.p50 < first.run.p95 <= 0.025
    assert (nothing.enqueued, nothing.run.count, nothing.run.p95, nothing.types) == (0, 0, None, {})
    assert (last.retried, last.retrying, last.dead_letters) == (1, 1, 1)


def test_a_pause_of_the_scheduler_makes_one_long_point(lab):
    sampled(lab, 60)
    lab.seed_completed()
    sampled(lab)
    (point,) = timeline(lab.server, 3600).points
    assert (point.seconds, point.completed) == (60, 1)


def test_queues_are_added_up_and_one_can_be_asked_for(lab):
    lab.server.register_queues("mail")
    other = Lab(lab.server, "mail")
    other.set_clock(lab.now)
    for _ in range(2):
        for each in (lab, other):
            sampled(each)
            each.seed_completed()
    lab.run(lab.queue.sample())
    assert [point.completed for point in timeline(lab.server).points] == [2, 1]
    assert [point.completed for point in timeline(lab.server, queue="mail").points] == [1]


def test_counters_that_begin_again_are_taken_as_they_are(lab):
    lab.seed_completed()
    lab.seed_completed()
    sampled(lab)
    lab.redis.delete(lab.keys.totals, lab.keys.latencies("email"))
    lab.seed_completed()
    sampled(lab)
    (point,) = timeline(lab.server).points
    assert (point.completed, point.run.count) == (1, 0)


def test_what_an_earlier_version_has_counted_is_read(lab):
    lab.redis.hset(lab.keys.histogram("email"), mapping={"run:1": 4, "run:18": 1, "run:sum_us": 2_000})
    lab.seed_completed()
    with Client(lab.server.settings.redis_url, namespace=lab.server.settings.namespace) as client:
        fields = client.inspector.histograms("default", ["email"])["email"]
    # A job of this version took 12.5 ms.
    assert {name: count for name, count in fields.items() if name.startswith("run")} == {
        "run:4": 4, "run:8": 1, "run:21": 1, "run:sum_us": 14_500,
    }  # fmt: skip


def test_samples_of_an_earlier_version_are_read_and_it_can_read_those_of_this_one(lab):
    lab.seed_completed()
    sampled(lab)
    key = lab.keys.timeline(10_000)
    ((member, slot),) = lab.redis.zrange(key, 0, -1, withscores=True)
    sample = msgspec.msgpack.decode(member)
    # Its samples have no more than these.
    assert (sum(sample["run"][:-1]), sample["run"][-1], len(sample["run"])) == (1, 12_500, 19)
    del sample["below"], sample["latencies"]
    lab.redis.zremrangebyrank(key, 0, -1)
    lab.redis.zadd(key, {msgspec.msgpack.encode(sample): slot})
    lab.hire()
    lab.seed_pending(2)
    for job, duration in zip(lab.fetch(want=2), (0.07, 0.7), strict=True):
        lab.run(lab.queue.complete("w1", [Completion(job.id, job.token, duration, b"", b"")]))
    sampled(lab)
    (point,) = timeline(lab.server).points
    assert (point.run.count, point.run.mean) == (2, 0.000385)
    assert point.run.p50 == pytest.approx(0.0001)
    assert point.run.p95 > 0.0005


def test_longer_windows_have_longer_steps(lab):
    assert [timeline(lab.server, window).step for window in ("10m", "1h", "2h", "1d", "30d")] == [
        10,
        10,
        300,
        300,
        3600,
    ]
    assert timeline(lab.server, "1d").points == []


@pytest.mark.parametrize("text", ["", "yesterday", "0s", "-1h", "400d", 0])
def test_a_window_that_is_none_is_refused(text):
    with pytest.raises(InvalidJob, match="/window"):
        window_of(text)


def test_a_client_has_it_too(redis_url, lab, namespace):
    with Client(redis_url, namespace=namespace) as client:
        assert client.timeline("1h").window == 3600


def test_quantiles_are_within_their_bucket():
    buckets = [0, 0, 0, 0, 0, 0, 10, 10, *[0] * 13]
    assert quantile(buckets, 0.5) == 0.01
    assert quantile(buckets, 0.75) == pytest.approx(0.0175)
    assert quantile(buckets, 1) == 0.025
    assert quantile([0] * 21, 0.5) is None
    assert quantile([*[0] * 20, 3], 0.5) is None
