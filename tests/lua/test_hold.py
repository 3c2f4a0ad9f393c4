"""hold: a job's record says for how much memory it waits in its worker, and when it has started after that."""


def test_a_job_that_waits_for_memory_says_so_and_starts_when_it_has_it(lab):
    job = lab.seed_processing()
    started = int(lab.record(job.id)["started"])
    lab.pass_time(2.0)
    assert lab.run_twice(lab.queue.hold(job.id, job.token, "1024 17")) == ("OK", "OK")
    record = lab.record(job.id)
    assert (record["memory_wait"], int(record["started"])) == (f"{job.token} 1024 17", started)
    assert lab.run_twice(lab.queue.hold(job.id, job.token, "1024 17 18")) == ("OK", "OK")
    record = lab.record(job.id)
    assert (record["memory_wait"], int(record["started"])) == (f"{job.token} 1024 17 18", lab.now)


def test_nothing_is_noted_of_an_attempt_that_is_over(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    before = lab.everything()
    assert lab.run(lab.queue.hold(job.id, job.token, "1024 1")) == "STALE"
    assert lab.everything() == before
