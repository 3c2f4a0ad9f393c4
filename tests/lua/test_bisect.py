"""bisect: where in a pending list the older jobs begin."""

import pytest


@pytest.fixture
def times(lab):
    """Four jobs in pending:normal, the left one newest, a second apart; when each came."""
    lab.enqueue()
    came = []
    for _ in range(4):
        lab.pass_time(1)
        lab.enqueue()
        came.append(lab.now)
    return came[::-1]


def found(lab, time):
    return lab.run_twice(lab.queue.bisect("pending:normal", time))[0]


def test_it_finds_the_first_that_is_no_newer(lab, times):
    assert [found(lab, time) for time in times] == [0, 1, 2, 3]
    assert found(lab, times[1] - 1) == 2
    assert found(lab, times[0] + 1) == 0
    assert found(lab, times[-1] - 1) == 4


def test_missing_and_corrupt_records_are_skipped(lab, times):
    ids = lab.standing("pending:normal")[::-1]
    kept = {job_id: lab.redis.dump(lab.keys.job(job_id)) for job_id in ids[1:3]}
    lab.redis.delete(lab.keys.job(ids[1]))
    lab.redis.set(lab.keys.job(ids[2]), "nonsense")
    assert found(lab, times[3]) <= 3
    assert found(lab, times[0]) == 0
    for job_id, record in kept.items():
        lab.redis.restore(lab.keys.job(job_id), 0, record, replace=True)


def test_a_list_that_is_not_there_is_empty(lab):
    assert found(lab, lab.now) == 0


@pytest.mark.parametrize("since", ["1e300", "-5", "nan"])
def test_a_time_that_can_not_be_one_is_passed_over(lab, times, since):
    job_id = lab.standing("pending:normal")[::-1][2]
    lab.redis.hset(lab.keys.job(job_id), "since", since)
    # What is read in its place is the next older one.
    assert found(lab, times[1]) == 1
    assert found(lab, times[3]) in (2, 3)
    assert found(lab, times[3] - 1) == 4


def test_a_stretch_without_records_is_passed_over(lab):
    ids = lab.seed_pending(25)
    for job_id in ids[1:]:
        lab.redis.delete(lab.keys.job(job_id))
    assert found(lab, lab.now) == 0
    lab.redis.delete(lab.keys.pending("normal"))
    lab.redis.hincrby(lab.keys.totals, "purged", 24)
