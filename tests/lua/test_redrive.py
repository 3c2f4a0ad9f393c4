"""redrive: dead letters start afresh, same id, same history."""

from gopher.jobs.job import new_job_id
from tests.lua.lab import failure, new_job


def test_a_dead_letter_goes_back_with_fresh_attempts(lab):
    job = lab.seed_processing(expires="+9000")
    lab.run(lab.queue.dead_letter("w1", failure(job, crash="SIGSEGV"), "ValueError"))
    lab.pass_time(3600)
    first, again = lab.run_twice(lab.queue.redrive([job.id]))
    assert (first, again) == (1, 0)
    assert lab.standing("next") == [job.id]
    record = lab.record(job.id)
    assert (record["state"], record["attempts"], record["since"]) == ("pending", "0", str(lab.now))
    gone = {"crashes", "lost", "error", "finished", "token", "cancel", "expires", "parked"}
    assert not gone & set(record)
    assert len(lab.history(job.id)) == 1
    assert lab.totals()["redriven"] == 1
    lab.hire()
    (given,) = lab.fetch()
    assert (given.attempt, given.crashes, given.lost) == (1, (), 0)
    assert given.token != job.token


def test_a_dead_letter_has_its_unique_key_again_for_the_rest_of_its_time(lab):
    job = lab.seed_processing(unique_key="k", unique_for=60.0)
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    assert not lab.redis.exists(lab.keys.unique("k"))
    assert lab.run(lab.queue.redrive([job.id])) == 1
    assert lab.redis.get(lab.keys.unique("k")) == job.id.encode()
    assert 0 < lab.redis.pttl(lab.keys.unique("k")) <= 60_000
    assert "unique_left" not in lab.record(job.id)
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == [f"{job.id} pending normal"]
    lab.hire()
    (given,) = lab.fetch()
    lab.complete(given)
    assert not lab.redis.exists(lab.keys.unique("k"))


def test_a_dead_letter_leaves_its_unique_key_to_the_job_that_has_it_meanwhile(lab):
    dead = lab.seed_failed(unique_key="k")
    other = lab.enqueue(unique_key="k")
    assert lab.run(lab.queue.redrive([dead])) == 1
    assert lab.redis.get(lab.keys.unique("k")) == other.encode()


def test_a_job_that_failed_with_its_parent_has_its_unique_key_again(lab):
    parent = lab.enqueue(due="+60000")
    child = lab.enqueue(unique_key="k", after=(parent,))
    lab.run(lab.queue.cancel(parent))
    assert not lab.redis.exists(lab.keys.unique("k"))
    assert lab.run(lab.queue.redrive([child])) == 1
    assert lab.redis.get(lab.keys.unique("k")) == child.encode()


def test_a_dead_letter_whose_key_was_to_expire_at_once_is_redriven(lab):
    dead = lab.seed_failed(unique_key="k")
    lab.redis.hset(lab.keys.job(dead), "unique_left", 0)
    assert lab.run(lab.queue.redrive([dead])) == 1
    assert lab.state(dead) == "pending"


def test_only_dead_letters_go_back(lab):
    waiting, dead, done = lab.enqueue(due="+5000"), lab.seed_failed(), lab.seed_completed()
    assert lab.run(lab.queue.redrive([waiting, done, dead, dead, new_job_id()])) == 1
    assert (lab.state(waiting), lab.state(done), lab.state(dead)) == ("scheduled", "completed", "pending")


def test_they_go_to_the_end_of_their_priority_in_the_order_given(lab):
    dead = [lab.seed_failed(), lab.seed_failed()]
    first, second = lab.seed_pending(2)
    lab.run(lab.queue.redrive(dead))
    assert lab.standing("next") + lab.standing("pending:normal") == [first, second, *dead]


def test_a_dead_letter_without_a_record_is_left_to_prune(lab):
    dead = lab.seed_failed()
    record = lab.redis.dump(lab.keys.job(dead))
    lab.redis.delete(lab.keys.job(dead))
    assert lab.run(lab.queue.redrive([dead])) == 0
    lab.redis.restore(lab.keys.job(dead), 0, record)


def test_what_the_parents_of_a_job_have_left_is_kept_for_its_next_attempt(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,))
    assert lab.complete(parent) == "OK"
    (job,) = lab.fetch()
    assert lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError")) == "OK"
    lab.redis.delete(lab.keys.readers(parent.id))
    lab.run(lab.queue.redrive([child]))
    assert lab.standing(f"readers:{parent.id}") == [child]


def test_a_parent_with_the_most_children_that_its_record_names_gets_no_more(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,))
    assert lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError")) == "OK"
    named = ",".join(new_job_id() for _ in range(200))
    lab.redis.hset(lab.keys.job(parent.id), "children", named)
    lab.run(lab.queue.redrive([parent.id]))
    lab.run(lab.queue.redrive([child]))
    assert lab.record(parent.id)["children"] == named
    assert lab.standing(f"children:{parent.id}") == []


def test_a_parent_that_runs_names_a_child_that_is_redriven_again_once(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,))
    assert lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError")) == "OK"
    lab.run(lab.queue.redrive([parent.id]))
    assert [job.id for job in lab.fetch()] == [parent.id]
    lab.run(lab.queue.redrive([child]))
    (job,) = lab.fetch()
    assert lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError")) == "OK"
    lab.run(lab.queue.redrive([child]))
    assert lab.record(parent.id)["children"] == child
