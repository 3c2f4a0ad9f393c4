"""promote: what is due goes to pending, the earliest first."""

from tests.lua.lab import new_job


def test_nothing_waits(lab):
    promoted = lab.run_twice(lab.queue.promote())[0]
    assert (promoted.moved, promoted.next_due, promoted.now) == (0, None, lab.now)


def test_what_is_due_goes_and_the_rest_is_told(lab):
    later, due = lab.enqueue(due="+9000"), lab.enqueue(due="+2000")
    assert lab.run(lab.queue.promote()).next_due == lab.now + 2000
    lab.pass_time(1.999)
    assert lab.run(lab.queue.promote()).moved == 0
    lab.pass_time(0.001)
    promoted, again = lab.run_twice(lab.queue.promote())
    assert (promoted.moved, promoted.next_due) == (1, lab.now + 7000)
    assert (again.moved, again.next_due) == (0, lab.now + 7000)
    assert lab.standing("next") == [due]
    assert lab.standing("scheduled") == [later]
    assert lab.state(due) == "pending"


def test_its_waiting_counts_from_when_it_was_due(lab):
    job_id = lab.enqueue(due="+2000")
    due = lab.now + 2000
    lab.pass_time(60)
    lab.run(lab.queue.promote())
    assert lab.record(job_id)["since"] == str(due)


def test_the_earliest_go_first_in_their_order(lab):
    ids = [lab.enqueue(due=f"+{seconds}000") for seconds in (3, 1, 2)]
    lab.pass_time(10)
    lab.run(lab.queue.promote(2))
    assert lab.standing("next") + lab.standing("pending:normal") == [ids[1], ids[2]]
    assert lab.run(lab.queue.promote(2)).moved == 1
    assert lab.standing("pending:normal") == [ids[2], ids[0]]


def test_retries_go_too_and_each_to_its_priority(lab):
    job_id = lab.seed_retrying(5.0, priority="low")
    scheduled = lab.enqueue(due="+5000", priority="high")
    lab.pass_time(5)
    assert lab.run(lab.queue.promote()).moved == 2
    assert lab.standing("next") == [scheduled]
    assert lab.standing("pending:low") == [job_id]


def test_jobs_that_wait_for_others_never_come_due(lab):
    parent = lab.enqueue()
    child = lab.enqueue(after=(parent,))
    lab.pass_time(86400 * 365)
    assert lab.run(lab.queue.promote()).moved == 0
    assert lab.standing("scheduled") == [child]


def test_throttled_jobs_go_when_their_bucket_is_due_for_a_check(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None))
    first, second, third = lab.seed_pending(3)
    lab.hire()
    assert [job.id for job in lab.fetch(want=5)] == [first]
    assert lab.run(lab.queue.promote()).next_due == lab.now + 1000
    lab.pass_time(1)
    assert lab.run(lab.queue.promote()).moved == 1
    assert lab.standing("next") == [second]
    assert lab.standing("throttled:email:normal") == [third]


def test_a_limit_that_is_gone_lets_all_go(lab):
    lab.run(lab.queue.pause("email"))
    ids = lab.seed_pending(3)
    lab.hire()
    lab.fetch(want=5)
    lab.run(lab.queue.resume("email"))
    assert lab.alarm() == lab.now
    assert lab.run(lab.queue.promote()).moved == 3
    assert lab.standing("next") + lab.standing("pending:normal") == ids
    assert lab.standing("throttled") == []


def test_an_entry_without_a_record_is_dropped(lab):
    lab.redis.zadd(lab.keys.scheduled, {"stranger": lab.now - 1})
    assert lab.run(lab.queue.promote()).moved == 0
    assert lab.standing("scheduled") == []


def test_a_scheduler_is_woken_for_children_that_a_call_did_not_come_to(lab):
    parent = lab.enqueue(due="+60000")
    children = [new_job(after=(parent,)) for _ in range(201)]
    lab.run(lab.queue.enqueue(children))
    lab.redis.delete(lab.keys.alarm)
    lab.run(lab.queue.cancel(parent))
    assert lab.alarm() == lab.now
    assert [lab.state(child.id) for child in (children[199], children[200])] == ["failed", "scheduled"]
    assert lab.run_twice(lab.queue.promote())[0].moved == 0
    assert lab.state(children[200].id) == "failed"


def test_a_child_that_is_told_late_tells_its_own(lab):
    parent = lab.enqueue(due="+60000")
    children = [new_job(after=(parent,)) for _ in range(201)]
    grandchild = new_job(after=(children[200].id,), on_parent_failure="run")
    lab.run(lab.queue.enqueue([*children, grandchild]))
    lab.run(lab.queue.cancel(parent))
    assert lab.run(lab.queue.promote()).moved == 1
    assert lab.standing("next") == [grandchild.id]


def test_of_several_times_the_earliest_is_told(lab):
    lab.seed_retrying(9.0)
    lab.enqueue(due="+5000")
    assert lab.run(lab.queue.promote()).next_due == lab.now + 5000
    lab.seed_retrying(2.0)
    assert lab.run(lab.queue.promote()).next_due == lab.now + 2000


def test_children_that_fail_late_are_counted(lab):
    parent = lab.enqueue()
    for _ in range(3):
        for start in range(0, 100, 50):
            lab.run(lab.queue.enqueue([new_job(after=(parent,)) for _ in range(start, start + 50)]))
    lab.run(lab.queue.cancel(parent))
    lab.run(lab.queue.promote())
    assert lab.totals()["failed:email:ParentFailed"] == 300


def test_a_paused_type_is_looked_at_and_left(lab):
    lab.run(lab.queue.pause("email"))
    job_id = lab.enqueue()
    lab.hire()
    assert lab.fetch() == []
    lab.redis.zadd(lab.keys.throttled, {"email": lab.now})
    assert lab.run(lab.queue.promote()).moved == 0
    assert lab.standing("throttled:email:normal") == [job_id]
    assert lab.scores("throttled")["email"] > lab.now + 60_000


def test_a_bucket_is_looked_at_again_when_its_next_token_comes(lab):
    lab.run(lab.queue.set_limit("email", 0.1, 1.0, None))
    lab.seed_pending(3)
    lab.hire()
    assert len(lab.fetch(want=3)) == 1
    lab.redis.zadd(lab.keys.throttled, {"email": lab.now})
    assert lab.run(lab.queue.promote()).moved == 0
    assert lab.scores("throttled") == {"email": lab.now + 10_000}


def test_a_rate_of_nothing_holds_jobs_back(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None))
    lab.redis.hset(lab.keys.limit("email"), "rate", "0")
    job_id = lab.enqueue()
    lab.hire()
    assert lab.fetch() == []
    assert lab.scores("throttled") == {"email": lab.now + 86_400_000}
    lab.redis.zadd(lab.keys.throttled, {"email": lab.now})
    assert lab.run(lab.queue.promote()).moved == 0
    assert lab.standing("throttled:email:normal") == [job_id]
    assert lab.scores("throttled") == {"email": lab.now + 86_400_000}
