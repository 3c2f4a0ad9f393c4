"""tick: a schedule fires once for each of its times, whoever else tries."""

import pytest

from tests.lua.lab import new_job

DEFINITION = b'{"type":"report"}'


@pytest.fixture
def nightly(lab):
    lab.run(lab.queue.set_schedule("nightly", DEFINITION, lab.now))
    return lab


def tick(lab, job, *, definition=DEFINITION, expected=None, then=60_000, skip_overlap=False):
    next_time = None if then is None else lab.now + then
    expected = lab.now if expected is None else expected
    return lab.queue.tick("nightly", definition, expected, next_time, [job] if job else [], skip_overlap=skip_overlap)


def test_its_job_is_stored_and_its_next_time_set(nightly):
    job = new_job("report", retention=5.0, expires="+3000", priority="low")
    first, again = nightly.run_twice(tick(nightly, job))
    assert (first, again) == ("FIRED", "MOVED")
    assert nightly.standing("next") == [job.id]
    record = nightly.record(job.id)
    assert (record["state"], record["schedule"], record["retention"]) == ("pending", "nightly", "5000")
    assert record["expires"] == str(nightly.now + 3000)
    assert nightly.scores("ticks") == {"nightly": nightly.now + 60_000}
    assert nightly.totals() == {"enqueued:report:low": 1}
    assert nightly.redis.hgetall(nightly.keys.last) == {b"nightly": job.id.encode()}


def test_its_job_goes_into_the_bucket_of_its_limit_key(nightly):
    job = new_job("report", limit_key="tenant")
    nightly.run(tick(nightly, job))
    assert nightly.record(job.id)["bucket"] == "report/tenant"


def test_of_two_schedulers_one_fires(nightly):
    first, second = new_job(), new_job()
    calls = [tick(nightly, first), tick(nightly, second)]
    assert [nightly.run(call) for call in calls] == ["FIRED", "MOVED"]
    assert nightly.state(second.id) is None


def test_a_job_id_that_is_known_makes_no_second_job(nightly):
    job = new_job()
    nightly.run(nightly.queue.enqueue([job]))
    assert nightly.run(tick(nightly, job)) == "FIRED"
    assert nightly.totals() == {"enqueued:email:normal": 1}


def test_a_changed_schedule_does_not_fire_by_its_old_definition(nightly):
    call = tick(nightly, new_job())
    nightly.run(nightly.queue.set_schedule("nightly", b'{"type":"other"}', nightly.now))
    before = nightly.everything()
    assert nightly.run(call) == "MOVED"
    assert nightly.everything() == before


def test_a_deleted_schedule_does_not_fire(nightly):
    call = tick(nightly, new_job())
    nightly.run(nightly.queue.delete_schedule("nightly"))
    assert nightly.run(call) == "MOVED"


def test_a_schedule_that_never_fires_again_leaves_the_times(nightly):
    assert nightly.run(tick(nightly, new_job(), then=None)) == "FIRED"
    assert nightly.scores("ticks") == {}
    assert nightly.redis.hexists(nightly.keys.schedules, "nightly")


@pytest.mark.parametrize("unfinished", ["pending", "processing", "retrying", "scheduled"])
def test_with_overlap_skip_it_skips_while_the_last_job_is_unfinished(nightly, unfinished):
    last = new_job()
    nightly.run(tick(nightly, last))
    nightly.hire()
    if unfinished != "pending":
        (job,) = nightly.fetch()
        if unfinished == "retrying":
            from tests.lua.lab import failure

            nightly.run(nightly.queue.retry("w1", failure(job), 600.0))
        elif unfinished == "scheduled":
            nightly.run(nightly.queue.requeue("w1", job.id, job.token, 600.0))
    nightly.pass_time(60)
    assert nightly.state(last.id) == unfinished
    job = new_job()
    first, again = nightly.run_twice(tick(nightly, job, skip_overlap=True))
    assert (first, again) == ("SKIPPED", "MOVED")
    assert nightly.state(job.id) is None
    assert nightly.totals()["skipped_overlap:nightly"] == 1
    assert nightly.scores("ticks") == {"nightly": nightly.now + 60_000}


@pytest.mark.parametrize("skip_overlap", [False, True])
def test_it_fires_again_when_the_last_job_has_ended_or_may_overlap(nightly, skip_overlap):
    nightly.run(tick(nightly, new_job()))
    nightly.hire()
    (job,) = nightly.fetch()
    if skip_overlap:
        nightly.complete(job)
    nightly.pass_time(60)
    second = new_job()
    assert nightly.run(tick(nightly, second, skip_overlap=skip_overlap)) == "FIRED"
    assert nightly.standing("next") == [second.id]


def test_a_tick_without_a_job_only_moves_on(nightly):
    assert nightly.run(tick(nightly, None)) == "FIRED"
    assert nightly.standing("next") == []


def test_a_time_without_a_job_is_no_overlap(nightly):
    nightly.run(tick(nightly, new_job("report")))
    nightly.pass_time(60)
    assert nightly.run(tick(nightly, None, expected=nightly.now, skip_overlap=True)) == "FIRED"
    assert "skipped_overlap:nightly" not in nightly.totals()
