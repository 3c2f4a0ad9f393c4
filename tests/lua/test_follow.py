"""follow: a job, or a batch, tells another queue how it ends, where jobs wait for it."""

import pytest

from tests.lua.lab import failure


def posted(lab):
    """Return the parent, its state and its result, as they are told."""
    return [(entry[2], entry[3], entry[6]) for entry in lab.posted("mails") if entry[0] == "parent"]


def follow(lab, *ids, at=None):
    return lab.run(lab.queue.follow("mails", [(each, lab.now if at is None else at) for each in ids]))


def test_a_job_tells_once_however_often_it_is_asked(lab):
    job = lab.seed_processing()
    assert [follow(lab, job.id), follow(lab, job.id)] == [[], []]
    assert lab.record(job.id)["tells"] == "parent mails"
    assert posted(lab) == []
    lab.complete(job, result=b'{"n":1}')
    assert posted(lab) == [(job.id, "completed", '{"n":1}')]


def test_a_dead_letter_tells_its_failure_and_not_its_redrive(lab):
    job = lab.seed_processing(tells=("batch home b1",))
    follow(lab, job.id)
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    lab.run(lab.queue.redrive([job.id]))
    assert posted(lab) == [(job.id, "failed", "")]
    assert [entry[3] for entry in lab.posted("home")] == ["failed", "pending"]


def test_one_that_has_ended_tells_at_once(lab):
    done, dead = lab.seed_completed(), lab.seed_failed()
    follow(lab, done, dead)
    assert posted(lab) == [(done, "completed", "1"), (dead, "failed", "")]


@pytest.mark.parametrize(("end", "told"), [("completed", "completed"), ("cancelled", "failed")])
def test_a_batch_tells_how_it_has_ended(lab, end, told):
    batch_id = lab.open_batch()
    (job_id,) = lab.join(batch_id, 1)
    follow(lab, batch_id)
    lab.run(lab.queue.seal_batch(batch_id))
    assert posted(lab) == []
    lab.count(batch_id, (job_id, end, 0))
    assert posted(lab) == [(batch_id, told, "")]
    follow(lab, batch_id)
    assert posted(lab) == [(batch_id, told, "")] * 2


def test_one_that_does_not_exist_may_still_be_stored_for_a_while(lab):
    job = lab.seed_processing()
    assert follow(lab, "no", job.id, "none") == [0, 2]
    assert posted(lab) == []
    assert follow(lab, "no", at=lab.now - 60_000) == []
    assert posted(lab) == [("no", "deleted", "")]
