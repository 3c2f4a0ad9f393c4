"""report: progress and log of running jobs are stored, of no others."""

from tests.lua.lab import failure


def test_progress_and_log_are_stored(lab):
    job = lab.seed_processing()
    call = lab.queue.report([(job.id, job.token, b'{"fraction":0.5}', b'[[1,"half"]]')])
    assert lab.run_twice(call) == (["OK"], ["OK"])
    record = lab.record(job.id)
    assert (record["progress"], record["log:1"]) == ('{"fraction":0.5}', '[[1,"half"]]')


def test_what_is_empty_leaves_what_was_there(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.report([(job.id, job.token, b'{"fraction":0.5}', b"[]")]))
    lab.run(lab.queue.report([(job.id, job.token, b"", b"")]))
    assert lab.record(job.id)["progress"] == '{"fraction":0.5}'
    assert lab.record(job.id)["log:1"] == "[]"


def test_an_attempt_that_is_over_reports_nothing(lab):
    lost, retried, gone = lab.seed_processing(), lab.seed_processing(), lab.seed_processing(retention=0)
    lab.run(lab.queue.retry("w1", failure(retried), 60.0))
    lab.complete(gone)
    before = lab.everything()
    reports = [(job.id, token, b"{}", b"[]") for job, token in ((lost, "w1.99"), (retried, retried.token), (gone, "x"))]
    assert lab.run(lab.queue.report(reports)) == ["STALE", "STALE", "STALE"]
    assert lab.everything() == before


def test_the_log_goes_to_its_attempt(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.retry("w1", failure(job, log=b"[1]"), 0.0))
    lab.run(lab.queue.promote())
    (again,) = lab.fetch()
    lab.run(lab.queue.report([(again.id, again.token, b"", b"[2]")]))
    assert (lab.record(job.id)["log:1"], lab.record(job.id)["log:2"]) == ("[1]", "[2]")
