"""reclaim: what stands in the list of a living worker that does not hold it goes back, and nothing else."""

from gopher.queue.arguments import Completion
from gopher.queue.moves import MAX_LOST


def reclaim(lab, held=(), number=1000, pop=1000, lost_pops=(), worker="w1", **options):
    call = lab.queue.reclaim(worker, [job.token for job in held], number, pop, lost_pops, **options)
    return lab.run_twice(call)[0]


def ring(lab, number, worker="w1"):
    """Hand a job over by the fetch behind a BRPOPLPUSH."""
    lab.enqueue()
    lab.hand_over(worker)
    (job,) = lab.run(lab.queue.fetch(worker, 1, number, "hnl", strict=True, behind_pop=True)).jobs
    return job


def test_a_job_that_the_worker_does_not_hold_goes_to_the_head_of_the_queue(lab):
    held, forgotten, waiting = lab.seed_pending(3)
    lab.hire()
    first, second = lab.fetch(want=2)
    assert (first.id, second.id) == (held, forgotten)
    assert reclaim(lab, [first]).job_ids == [forgotten]
    assert lab.standing("processing:w1") == [held]
    assert lab.standing("next") + lab.standing("pending:normal") == [waiting, forgotten]
    record = lab.record(forgotten)
    assert (record["state"], record["lost"], record.get("token")) == ("pending", "1", None)
    assert [row["outcome"] for row in lab.history(forgotten)] == ["lost"]
    assert lab.totals()["reclaimed:email"] == 1
    assert lab.complete(second) == "STALE"
    assert lab.complete(first) == "OK"


def test_a_job_whose_reply_may_be_on_its_way_stays(lab):
    lab.seed_pending(2)
    lab.hire()
    read, under_way = lab.fetch()[0], lab.fetch()[0]
    number = int(under_way.token.rpartition(".")[2])
    assert reclaim(lab, [read], number).job_ids == []
    assert reclaim(lab, [read], number + 1).job_ids == [under_way.id]


def test_a_job_that_may_still_be_delivered_stays(lab):
    lab.hire()
    job = ring(lab, 7)
    assert reclaim(lab, pop=7).job_ids == []
    assert reclaim(lab, pop=9, lost_pops=[6, 7]).job_ids == []
    assert reclaim(lab, pop=9, lost_pops=[6, 17, 77]).job_ids == [job.id]


def test_a_job_that_was_handed_over_and_not_started_stays_for_the_next_fetch(lab):
    job_id = lab.enqueue()
    lab.hire()
    lab.hand_over()
    assert reclaim(lab).job_ids == []
    assert [job.id for job in lab.fetch()] == [job_id]


def test_what_has_ended_or_has_another_owner_only_leaves_the_list(lab):
    ended, others = lab.seed_completed(), lab.seed_pending(1)
    lab.hire("w2")
    (job,) = lab.fetch("w2")
    lab.redis.lpush(lab.keys.processing("w1"), ended, job.id, "deleted")
    assert reclaim(lab).job_ids == []
    assert lab.standing("processing:w1") == []
    assert (lab.state(ended), lab.state(others[0]), lab.standing("processing:w2")) == (
        "completed",
        "processing",
        others,
    )


def test_a_job_that_was_to_be_cancelled_is(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    assert reclaim(lab).job_ids == [job.id]
    assert lab.state(job.id) == "cancelled"


def test_a_job_that_is_lost_again_and_again_becomes_a_dead_letter(lab):
    job = lab.seed_processing()
    lab.redis.hset(lab.keys.job(job.id), "lost", MAX_LOST - 1)
    assert reclaim(lab).job_ids == [job.id]
    assert lab.state(job.id) == "failed"


def test_one_call_takes_a_limited_number(lab):
    lab.seed_pending(3)
    lab.hire()
    lab.fetch(want=3)
    assert len(lab.run(lab.queue.reclaim("w1", [], 1000, 1000, limit=2)).job_ids) == 2
    assert len(reclaim(lab, limit=2).job_ids) == 1


def test_a_worker_without_a_lease_is_told_so(lab):
    lab.seed_processing()
    lab.lose()
    assert reclaim(lab).lost


def test_a_list_of_many_is_compared_in_one_call(lab):
    lab.seed_pending(300)
    lab.hire()
    held = lab.fetch(want=300)
    assert reclaim(lab, held).job_ids == []
    lab.run(lab.queue.complete("w1", [Completion(job.id, job.token, 1.0, b"", b"") for job in held[:100]]))
    assert reclaim(lab, held[100:]).job_ids == []
