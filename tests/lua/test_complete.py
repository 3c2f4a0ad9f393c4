"""complete: results are stored once, from who has the job."""

import pytest

from gopher.queue.arguments import Completion, as_usage
from tests.lua.lab import failure


def test_the_result_is_kept_for_the_default_time(lab):
    job = lab.seed_processing()
    lab.pass_time(0.5)
    assert lab.complete(job, result=b'{"n":9007199254740993}', log=b'[[1,"hello"]]') == "OK"
    record = lab.record(job.id)
    assert (record["state"], record["result"]) == ("completed", '{"n":9007199254740993}')
    assert (record["duration"], record["finished"]) == ("12.500", str(lab.now))
    assert record["log:1"] == '[[1,"hello"]]'
    assert lab.scores("finished") == {job.id: lab.now}
    assert lab.standing("processing:w1") == []
    assert 3_590_000 < lab.redis.pttl(lab.keys.job(job.id)) <= 3_600_000


def test_a_result_and_a_log_of_nothing_are_not_stored(lab):
    job = lab.seed_processing()
    lab.complete(job, result=b"")
    assert not {"result", "log:1"} & set(lab.record(job.id))
    assert 3_590_000 < lab.redis.pttl(lab.keys.job(job.id)) <= 3_600_000


def test_a_job_says_itself_how_long_it_is_kept(lab):
    job = lab.seed_processing(retention=5)
    lab.complete(job)
    assert 0 < lab.redis.pttl(lab.keys.job(job.id)) <= 5000


def test_a_retention_of_0_forgets_the_job_at_once_and_still_counts_it(lab):
    job = lab.seed_processing(retention=0)
    first, again = lab.run_twice(lab.queue.complete("w1", [Completion(job.id, job.token, 1.0, b"1", b"")]))
    assert (first, again) == (["OK"], ["MISSING"])
    assert lab.record(job.id) == {}
    assert lab.standing("finished") == []
    assert lab.totals()["completed:email"] == 1


def test_where_no_records_are_kept_a_plain_job_is_forgotten_at_once_too(lab):
    job = lab.seed_processing()
    call = lab.queue.complete("w1", [Completion(job.id, job.token, 1.0, b"1", b"")])
    worker, _, jobs = call.arguments
    assert lab.run_twice(call._replace(arguments=(worker, 0, jobs))) == (["OK"], ["MISSING"])
    assert (lab.record(job.id), lab.standing("finished")) == ({}, [])


def test_each_of_several_is_answered_for_itself(lab):
    lab.hire()
    lab.seed_pending(3)
    good, done, stale = lab.fetch(want=3)
    lab.complete(done)
    results = [Completion(job.id, job.token, 1.0, b"1", b"") for job in (good, done)]
    results += [Completion(stale.id, "w9.1", 1.0, b"1", b""), Completion("nobody", "w1.1", 1.0, b"1", b"")]
    assert lab.run(lab.queue.complete("w1", results)) == ["OK", "ALREADY", "STALE", "MISSING"]
    assert lab.state(stale.id) == "processing"
    assert (lab.totals()["completed:email"], lab.totals()["stale"]) == (2, 1)


def test_a_result_that_is_no_text_does_not_stop_the_others(lab):
    lab.hire()
    lab.seed_pending(2)
    odd, good = lab.fetch(want=2)
    results = [
        Completion(odd.id, odd.token, 1.0, b"\xff", b"["),
        Completion(good.id, good.token, 1.0, '"ü"'.encode(), b""),
    ]
    assert lab.run(lab.queue.complete("w1", results)) == ["OK", "OK"]
    assert lab.record(good.id)["result"] == '"ü"'


@pytest.mark.parametrize("length", [0, 1, 31, 32, 255, 256, 65_535, 65_536, 1_000_000])
def test_a_result_of_any_length_is_kept_as_it_is(lab, length):
    job = lab.seed_processing()
    lab.complete(job, result=b"1" * length, log=b"2" * length)
    record = lab.record(job.id)
    assert (record.get("result", ""), record.get("log:1", "")) == ("1" * length, "2" * length)


@pytest.mark.parametrize(
    ("ended", "stay"),
    [
        ([0, 1, 2, 3, 4, 5], []),
        ([0, 1], [2, 3, 4, 5]),
        ([1, 0, 3], [2, 4, 5]),
        ([5, 0], [1, 2, 3, 4]),
        ([4, 5], [0, 1, 2, 3]),
        ([3], [0, 1, 2, 4, 5]),
    ],
)
def test_what_still_runs_stays_in_the_workers_list_in_its_order(lab, ended, stay):
    lab.hire()
    lab.seed_pending(6)
    jobs = lab.fetch(want=6)
    results = [Completion(jobs[at].id, jobs[at].token, 1.0, b"1", b"") for at in ended]
    assert lab.run(lab.queue.complete("w1", results)) == ["OK"] * len(ended)
    assert lab.standing("processing:w1") == [jobs[at].id for at in stay]


def test_a_child_that_an_earlier_version_added_is_told_of_the_end(lab):
    job = lab.seed_processing()
    child = lab.enqueue(after=(job.id,))
    lab.redis.hset(lab.keys.job(job.id), "plain", "1")
    lab.complete(job)
    assert lab.state(child) == "pending"


def test_a_job_that_is_named_twice_ends_once(lab):
    lab.hire()
    lab.seed_pending(3)
    job, other, _ = lab.fetch(want=3)
    results = [Completion(each.id, each.token, 1.0, b"1", b"") for each in (job, job, other)]
    assert lab.run(lab.queue.complete("w1", results)) == ["OK", "ALREADY", "OK"]
    assert len(lab.standing("processing:w1")) == 1
    assert lab.totals()["completed:email"] == 2


def test_each_job_of_a_call_is_counted_into_its_own_bucket(lab):
    lab.hire()
    lab.seed_pending(5)
    jobs = lab.fetch(want=5)
    durations = (300.0, 0.4, 3_000_000.0, 300.0, 1.0)
    results = [Completion(job.id, job.token, ms, b"1", b"") for job, ms in zip(jobs, durations, strict=True)]
    lab.run(lab.queue.complete("w1", results))
    histogram = {name.decode(): int(count) for name, count in lab.redis.hgetall(lab.keys.latencies("email")).items()}
    run = {name: count for name, count in histogram.items() if name.startswith("run:")}
    assert run == {"run:3": 1, "run:4": 1, "run:12": 2, "run:21": 1, "run:sum_us": 3_000_601_400}


def test_latency_is_counted_into_the_histogram(lab):
    lab.seed_completed()
    histogram = lab.redis.hgetall(lab.keys.latencies("email"))
    assert histogram == {b"wait:1": b"1", b"wait:sum_us": b"0", b"run:8": b"1", b"run:sum_us": b"12500"}


@pytest.mark.parametrize(
    ("milliseconds", "bucket"),
    [(0.1, 1), (0.101, 2), (1.0, 4), (1.001, 5), (250.0, 11), (1_800_000.0, 20), (1_800_001.0, 21), (-3.0, 1)],
)
def test_a_bucket_holds_what_is_not_above_its_bound(lab, milliseconds, bucket):
    job = lab.seed_processing()
    lab.run(lab.queue.complete("w1", [Completion(job.id, job.token, milliseconds, b"", b"")]))
    histogram = lab.redis.hgetall(lab.keys.latencies("email"))
    assert histogram[f"run:{bucket}".encode()] == b"1"
    assert int(histogram[b"run:sum_us"]) == max(round(milliseconds * 1000), 0)


def test_the_log_of_the_last_ten_attempts_is_kept(lab):
    job = lab.seed_processing()
    for attempt in range(1, 13):
        assert job.attempt == attempt
        lab.run(lab.queue.retry("w1", failure(job, log=b"[]"), 0.0))
        lab.run(lab.queue.promote())
        (job,) = lab.fetch()
    lab.complete(job, log=b"[]")
    logs = {int(name[4:]) for name in lab.record(job.id) if name.startswith("log:")}
    assert logs == set(range(4, 14))


def test_a_job_that_completes_after_a_cancel_request_is_completed(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    assert lab.complete(job) == "OK"
    assert lab.state(job.id) == "completed"


def test_a_slot_that_is_free_wakes_a_scheduler(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    lab.seed_pending(2)
    lab.hire()
    (job,) = lab.fetch(want=2)
    lab.redis.delete(lab.keys.alarm)
    lab.complete(job)
    assert lab.alarm() == lab.now


@pytest.mark.parametrize(("mib", "bucket"), [(0.5, 0), (1, 0), (2, 4), (2.1, 5), (64, 24)])
def test_the_peak_of_memory_is_counted_into_a_bucket(lab, mib, bucket):
    job = lab.seed_processing()
    peak = round(mib * 2**20)
    done = Completion(job.id, job.token, 12.5, b"1", b"", as_usage(0.2, 0.1, peak))
    assert lab.run(lab.queue.complete("w1", [done])) == ["OK"]
    counted = lab.redis.hgetall(lab.keys.latencies("email"))
    assert counted[b"memory:sum"] == str(peak).encode()
    assert counted[f"memory:{bucket}".encode()] == b"1"
