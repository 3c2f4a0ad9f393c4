"""Bounds on waiting jobs: what is counted of a job in every move, and which jobs of a call do not fit."""

import pytest

from gopher.queue.arguments import Request
from gopher.queue.bounds import Bounds
from gopher.queue.new_jobs import NO_REQUEST
from tests.lua.lab import failure, new_job


def store(lab, *jobs, mode="all", most="", owner="ann", most_of_owner="", request=NO_REQUEST):
    return lab.run(lab.queue.enqueue(jobs, request, Bounds(mode, str(most), owner, str(most_of_owner))))


def counted(lab):
    found = {owner.decode(): int(count) for owner, count in lab.redis.hgetall(lab.keys.waiting).items()}
    return {owner: count for owner, count in found.items() if count}


def throttled(lab):
    """Return how many jobs are counted as throttled."""
    return sum(map(int, lab.redis.hvals(lab.keys.parked_jobs)))


def owned(lab, job_type="email", **options):
    """Store a job that is counted for its owner."""
    job = new_job(job_type, **options)
    assert store(lab, job, most_of_owner=100).answers == ["NEW"]
    return job.id


@pytest.fixture
def running(lab):
    """A job of ann that runs."""
    owned(lab)
    lab.hire()
    (job,) = lab.fetch()
    assert counted(lab) == {}
    return job


def test_only_jobs_of_an_owner_with_a_bound_are_counted(lab):
    store(lab, new_job(), most_of_owner="")
    assert store(lab, *(new_job() for _ in range(6)), owner="", most_of_owner=5).kind == "OK"
    assert counted(lab) == {}
    first, _second = owned(lab), owned(lab, due="+5000")
    assert counted(lab) == {"ann": 2}
    assert lab.record(first)["owner"] == "ann"
    assert "plain" not in lab.record(first)
    store(lab, new_job(), owner="bob smith", most_of_owner=5)
    assert counted(lab) == {"ann": 2, "bob smith": 1}


@pytest.mark.parametrize("delay", [0.0, 60.0])
def test_a_job_that_is_given_back_waits_again(lab, running, delay):
    assert lab.run(lab.queue.requeue("w1", running.id, running.token, delay)) == "OK"
    assert counted(lab) == {"ann": 1}


def test_a_job_that_is_retried_waits_again(lab, running):
    assert lab.run(lab.queue.retry("w1", failure(running), 60.0)) == "OK"
    assert counted(lab) == {"ann": 1}
    lab.pass_time(61)
    lab.run(lab.queue.promote())
    assert counted(lab) == {"ann": 1}


def test_a_job_whose_type_is_held_back_waits_again_until_it_starts(lab, running):
    assert lab.run(lab.queue.throttle("w1", running.id, running.token, 60.0)) == "OK"
    assert (counted(lab), throttled(lab)) == ({"ann": 1}, 1)
    lab.pass_time(5)
    lab.hire()
    lab.pass_time(56)
    lab.hire()
    lab.run(lab.queue.promote())
    assert (counted(lab), throttled(lab)) == ({"ann": 1}, 0)
    lab.fetch()
    assert counted(lab) == {}


@pytest.mark.parametrize("how", ["retry", "requeue", "throttle"])
def test_a_running_job_that_was_cancelled_does_not_wait_again(lab, running, how):
    lab.run(lab.queue.cancel(running.id))
    calls = {
        "retry": lambda: lab.queue.retry("w1", failure(running), 60.0),
        "requeue": lambda: lab.queue.requeue("w1", running.id, running.token),
        "throttle": lambda: lab.queue.throttle("w1", running.id, running.token, 60.0),
    }
    assert lab.run(calls[how]()) == "OK"
    assert counted(lab) == {}


def test_a_job_of_a_lost_worker_waits_again(lab, running):
    lab.lose()
    assert counted(lab) == {"ann": 1}
    assert running


def test_a_dead_letter_waits_once_it_is_redriven(lab, running):
    assert lab.run(lab.queue.dead_letter("w1", failure(running), "ValueError")) == "OK"
    assert counted(lab) == {}
    assert lab.run(lab.queue.redrive([running.id])) == 1
    assert counted(lab) == {"ann": 1}


def test_a_dead_letter_that_is_purged_did_not_wait(lab, running):
    lab.run(lab.queue.dead_letter("w1", failure(running), "ValueError"))
    owned(lab)
    assert lab.run(lab.queue.purge("failed")).jobs == 1
    assert counted(lab) == {"ann": 1}


@pytest.mark.parametrize(("state", "options"), [("pending", {}), ("scheduled", {"due": "+5000"})])
def test_a_job_that_is_cancelled_or_purged_does_not_wait_any_more(lab, state, options):
    cancelled, _ = owned(lab, **options), owned(lab, **options)
    lab.run(lab.queue.cancel(cancelled))
    assert counted(lab) == {"ann": 1}
    assert lab.run(lab.queue.purge(state)).jobs == 1
    assert lab.redis.exists(lab.keys.waiting) == 0


def test_a_job_that_expires_does_not_wait_any_more(lab):
    owned(lab, expires="+1000")
    lab.pass_time(2)
    lab.hire()
    assert lab.fetch() == []
    assert counted(lab) == {}


def test_a_job_that_fails_with_another_does_not_wait_any_more(lab):
    parent = lab.enqueue()
    owned(lab, after=(parent,))
    runs = owned(lab, after=(parent,), on_parent_failure="run")
    assert counted(lab) == {"ann": 2}
    lab.run(lab.queue.cancel(parent))
    assert counted(lab) == {"ann": 1}
    assert lab.state(runs) == "pending"


def test_a_job_whose_parent_has_failed_already_never_waits(lab):
    dead = lab.seed_failed()
    failed = owned(lab, after=(dead,))
    assert (lab.state(failed), counted(lab)) == ("failed", {})


def limited(lab, count):
    """Store jobs of a type of which one may run at once: it runs, the others are throttled."""
    lab.run(lab.queue.set_limit("email", None, None, 1))
    ids = lab.seed_pending(count)
    lab.hire()
    (job,) = lab.fetch("w1", 10)
    assert throttled(lab) == count - 1
    return job, ids


def test_throttled_jobs_are_counted_until_they_are_released(lab):
    first, _ = limited(lab, 4)
    assert lab.complete(first) == "OK"
    lab.run(lab.queue.promote())
    assert throttled(lab) == 2
    (second,) = lab.fetch("w1", 10)
    lab.complete(second)
    lab.run(lab.queue.set_limit("email", None, None, None))
    lab.run(lab.queue.promote())
    assert throttled(lab) == 0


def test_throttled_jobs_that_are_cancelled_or_purged_are_not_counted_any_more(lab):
    job, ids = limited(lab, 5)
    (waits, *_) = [each for each in ids if each != job.id]
    lab.run(lab.queue.cancel(waits))
    assert throttled(lab) == 3
    other = lab.enqueue("sms")
    assert lab.run(lab.queue.purge("pending", 3)).jobs == 3
    assert throttled(lab) == 1
    lab.run(lab.queue.purge("pending", 1000))
    assert throttled(lab) == 0
    assert lab.state(other) is None


def test_the_jobs_of_one_limit_are_counted_on_when_another_has_none_left(lab):
    first, _ = limited(lab, 3)
    lab.run(lab.queue.set_limit("sms", None, None, 1))
    for _ in range(2):
        lab.enqueue("sms")
    lab.fetch("w1", 10)
    assert throttled(lab) == 3
    lab.run(lab.queue.set_limit("sms", None, None, None))
    lab.pass_time(2)
    lab.run(lab.queue.promote())
    assert throttled(lab) == 2
    assert first


def test_a_count_that_earlier_versions_have_left_behind_ends_with_the_last_throttled_job(lab):
    job, _ = limited(lab, 3)
    lab.redis.hincrby(lab.keys.parked_jobs, "normal", 7)
    lab.complete(job)
    lab.run(lab.queue.set_limit("email", None, None, None))
    lab.run(lab.queue.promote())
    assert throttled(lab) == 0


# Which jobs do not fit


def test_a_queue_holds_waiting_jobs_of_every_kind_up_to_its_bound(lab):
    job, _ = limited(lab, 3)
    lab.enqueue("sms", priority="high")
    lab.enqueue("sms", due="+5000")
    lab.run(lab.queue.cancel(lab.enqueue("sms", priority="low")))
    retried = lab.fetch("w1")[0]
    lab.run(lab.queue.retry("w1", failure(retried), 60.0))
    # Two throttled, one scheduled, one retrying.
    assert store(lab, new_job("sms"), most=4).kind == "BEYOND"
    assert store(lab, new_job("sms"), most=5).answers == ["NEW"]
    assert store(lab, new_job("sms"), most=5).kind == "BEYOND"
    lab.complete(job)


def test_cancelled_jobs_that_are_left_in_a_long_list_do_not_count(lab):
    ids = lab.seed_pending(1102, priority="low")
    lab.run(lab.queue.cancel(ids[-1]))
    assert lab.tombstones() == {"low": 1}
    assert store(lab, new_job(), most=1101).kind == "BEYOND"
    assert store(lab, new_job(), most=1102).kind == "OK"


def test_nothing_is_stored_of_jobs_that_do_not_all_fit(lab):
    before = lab.everything()
    reply = store(lab, *(new_job() for _ in range(5)), most=3, most_of_owner=2)
    assert (reply.kind, reply.answers) == ("BEYOND", ["NEW", "NEW", "BEYOND owner", "BEYOND queue", "BEYOND queue"])
    assert lab.everything() == before


def test_a_check_stores_nothing_either_way(lab):
    before = lab.everything()
    assert store(lab, new_job(), new_job(), mode="none", most=2).kind == "OK"
    assert store(lab, new_job(), new_job(), mode="none", most=1).answers == ["NEW", "BEYOND queue"]
    assert lab.everything() == before


def test_those_that_fit_are_stored_and_a_repeat_of_the_request_is_answered_the_same(lab):
    jobs, request = [new_job(unique_key=key) for key in ("", "k", "k", "l", "")], Request("key", "digest", "1")
    first = store(lab, *jobs, mode="some", most_of_owner=2, request=request)
    assert first.answers == ["NEW", "NEW", f"{jobs[1].id} pending normal", "BEYOND owner", "BEYOND owner"]
    assert counted(lab) == {"ann": 2}
    again = store(lab, *jobs, mode="some", most_of_owner=2, request=request)
    assert (again.kind, again.answers) == ("REPLAYED", first.answers)
    assert store(lab, jobs[0], new_job(), mode="some", most_of_owner=2).answers == ["DUPLICATE", "BEYOND owner"]
    assert [lab.state(job.id) for job in jobs[3:]] == [None, None]


def test_what_is_there_already_is_no_job_more(lab):
    jobs = [new_job(unique_key="k"), new_job()]
    assert store(lab, *jobs, most=2, most_of_owner=2).answers == ["NEW", "NEW"]
    assert store(lab, *jobs, most=2, most_of_owner=2).answers == ["DUPLICATE", "DUPLICATE"]
    assert store(lab, new_job(unique_key="k"), most=2).answers == [f"{jobs[0].id} pending normal"]
    assert store(lab, new_job("sms", unique_key="k"), most=2).kind == "BEYOND"
    assert counted(lab) == {"ann": 2}


def test_a_bound_that_was_lowered_refuses_until_enough_have_started(lab):
    lab.seed_pending(5)
    assert store(lab, new_job(), most=3).kind == "BEYOND"
    lab.hire()
    lab.fetch("w1", 3)
    assert store(lab, new_job(), most=3).kind == "OK"


def started_by_the_version_before(lab):
    """Store a job, and leave it counted after its end, as a worker does that does not know of the counter."""
    lab.hire()
    owned(lab)
    (job,) = lab.fetch()
    lab.complete(job)
    lab.redis.hincrby(lab.keys.waiting, "ann", 1)


def test_jobs_that_a_worker_of_the_version_before_started_are_in_nobody_s_way(lab):
    started_by_the_version_before(lab)
    assert store(lab, new_job(), most_of_owner=1).answers == ["NEW"]
    assert store(lab, new_job(), most_of_owner=1).kind == "BEYOND"
    assert lab.fetch(want=2)
    lab.redis.hset(lab.keys.waiting, "ann", 0)


def test_they_are_forgotten_once_nothing_waits(lab):
    started_by_the_version_before(lab)
    lab.run(lab.queue.prune(0, 86400.0, 100))
    assert not lab.redis.exists(lab.keys.waiting)
    owned(lab)
    lab.hand_over()
    lab.run(lab.queue.prune(0, 86400.0, 100))
    assert counted(lab) == {"ann": 1}
