"""cancelled: a running job was stopped because somebody asked for it."""

from tests.lua.lab import ROW


def test_the_job_ends_with_what_it_had_logged(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    lab.pass_time(1)
    call = lab.queue.cancelled("w1", job.id, job.token, ROW, b'[[1,"so far"]]')
    assert lab.run_twice(call) == ("OK", "ALREADY")
    record = lab.record(job.id)
    assert (record["state"], record["finished"], record["log:1"]) == ("cancelled", str(lab.now), '[[1,"so far"]]')
    assert len(lab.history(job.id)) == 1
    assert lab.totals()["cancelled:email"] == 1
    assert 3_590_000 < lab.redis.pttl(lab.keys.job(job.id)) <= 3_600_000


def test_without_retention_it_is_gone(lab):
    job = lab.seed_processing(retention=0)
    call = lab.queue.cancelled("w1", job.id, job.token, ROW, b"")
    assert lab.run_twice(call) == ("OK", "MISSING")


def test_children_are_told(lab):
    job = lab.seed_processing()
    child = lab.enqueue(after=(job.id,))
    lab.run(lab.queue.cancelled("w1", job.id, job.token, ROW, b""))
    assert lab.state(child) == "failed"
