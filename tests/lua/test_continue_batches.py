"""continue_batches: what is done to all jobs of a batch, and a look at those that never end."""

import pytest


def walked(lab, queue="mails"):
    """Return kind and ids of the entries for a queue."""
    return [(entry[0], sorted(entry[6].split(","))) for entry in lab.posted(queue)]


@pytest.mark.parametrize(("walk", "kind"), [("cancel", "pending"), ("redrive", "failed")])
def test_jobs_of_every_queue_are_cancelled_or_retried(lab, walk, kind):
    batch_id = lab.open_batch()
    mails, files, dead = lab.join(batch_id, 3, "mails"), lab.join(batch_id, 2, "files"), lab.join(batch_id, 2, "mails")
    lab.count(batch_id, *((job_id, "failed", 1) for job_id in dead))
    lab.run(lab.queue.walk_batch(batch_id, walk))
    while lab.run(lab.queue.continue_batches()).next_due == lab.now:
        pass
    wanted = {"pending": ([(walk, sorted(mails))], [(walk, sorted(files))]), "failed": ([(walk, sorted(dead))], [])}
    assert (walked(lab), walked(lab, "files")) == wanted[kind]
    assert "walk" not in lab.batch(batch_id)


def test_many_jobs_are_done_page_by_page_while_their_queue_keeps_up(lab):
    batch_id = lab.open_batch()
    ids = lab.join(batch_id, 2000, "mails")
    lab.run(lab.queue.walk_batch(batch_id, "cancel"))
    seen, calls = set(), 0
    while lab.run(lab.queue.continue_batches(100)).next_due <= lab.now + 500:
        calls += 1
        seen |= {job_id for _, some in walked(lab) for job_id in some}
        if calls % 30 == 0:
            lab.redis.delete(lab.keys.outbox("mails"), lab.keys.outboxes)
        lab.pass_time(0.5)
    seen |= {job_id for _, some in walked(lab) for job_id in some}
    assert seen == set(ids)
    assert calls >= 10


def test_a_sealed_batch_in_which_nothing_happens_has_its_jobs_looked_at(lab):
    batch_id = lab.open_batch()
    ids = lab.join(batch_id, 2, "mails")
    lab.run(lab.queue.seal_batch(batch_id))
    lab.pass_time(29)
    assert lab.run(lab.queue.continue_batches()).moved == 0
    lab.pass_time(1)
    assert lab.run(lab.queue.continue_batches()).moved == 2
    assert walked(lab) == [("probe", sorted(ids))]


def test_one_whose_record_is_damaged_does_not_keep_others_from_being_looked_at(lab):
    damaged, other = lab.open_batch(), lab.open_batch()
    lab.join(damaged, 1)
    (job_id,) = lab.join(other, 1, "mails")
    for batch_id in (damaged, other):
        lab.run(lab.queue.seal_batch(batch_id))
    lab.redis.hdel(lab.keys.batch(damaged), "changed")
    lab.pass_time(30)
    assert lab.run(lab.queue.continue_batches()).moved == 1
    assert walked(lab) == [("probe", [job_id])]


def test_it_is_looked_at_less_and_less_often(lab):
    batch_id = lab.open_batch()
    lab.join(batch_id, 1)
    lab.run(lab.queue.seal_batch(batch_id))
    waits = []
    for _ in range(7):
        found = lab.run(lab.queue.continue_batches())
        waits.append((found.next_due - lab.now) // 1000)
        lab.set_clock(found.next_due)
    assert waits == [30, 30, 60, 120, 240, 480, 600]


def sweep(lab):
    """Continue when it is due; return what was posted, and after how many seconds it is due again."""
    lab.redis.delete(lab.keys.outbox("mails"), lab.keys.outboxes)
    found = lab.run(lab.queue.continue_batches())
    posted, wait = walked(lab), (found.next_due - lab.now) / 1000
    lab.set_clock(found.next_due)
    return posted, wait


def test_jobs_that_are_stored_after_their_batch_was_cancelled_are_cancelled_too(lab):
    """Whoever adds them has announced them before; while they may still come, nothing counts them as never stored."""
    batch_id = lab.open_batch()
    ids = sorted(lab.join(batch_id, 2, "mails"))
    lab.run(lab.queue.walk_batch(batch_id, "cancel"))
    for wait in (1, 1, 2, 4, 8, 16):
        assert sweep(lab) == ([("cancel", ids)], wait)
    assert sweep(lab) == ([("cancel", ids), ("probe", ids)], 32)
    lab.count(batch_id, *((job_id, "cancelled", 0) for job_id in ids))
    assert lab.run(lab.queue.continue_batches()).next_due is None


def test_jobs_that_are_retried_after_their_batch_was_cancelled_stay(lab):
    batch_id = lab.open_batch()
    retried, other = lab.join(batch_id, 2, "mails")
    lab.count(batch_id, (retried, "failed", 1))
    lab.run(lab.queue.walk_batch(batch_id, "cancel"))
    assert sweep(lab)[0] == [("cancel", [other])]
    lab.run(lab.queue.walk_batch(batch_id, "redrive"))
    assert sweep(lab)[0] == [("redrive", [retried])]
    lab.count(batch_id, (retried, "pending", 2))
    assert sweep(lab)[0] == [("cancel", [other])]


def test_a_batch_that_has_ended_is_left_alone(lab):
    batch_id = lab.open_batch()
    lab.run(lab.queue.seal_batch(batch_id))
    lab.redis.zadd(lab.keys.batch_work, {batch_id: 1, "gone": 1})
    found = lab.run_twice(lab.queue.continue_batches())[0]
    assert (found.moved, found.next_due) == (0, None)
