"""Every script that ends an attempt takes the current token only, once: OK, ALREADY, STALE or MISSING."""

import pytest

from gopher.queue.arguments import Completion
from tests.lua.lab import ROW, failure

#: What ends an attempt, as (verb, state of the job then).
ENDINGS = {
    "complete": (
        lambda lab, job: lab.queue.complete("w1", [Completion(job.id, job.token, 1.0, b"1", b"")]),
        "completed",
    ),
    "retry": (lambda lab, job: lab.queue.retry("w1", failure(job), 60.0), "retrying"),
    "dead_letter": (lambda lab, job: lab.queue.dead_letter("w1", failure(job), "ValueError"), "failed"),
    "requeue": (lambda lab, job: lab.queue.requeue("w1", job.id, job.token), "pending"),
    "snooze": (lambda lab, job: lab.queue.requeue("w1", job.id, job.token, 60.0), "scheduled"),
    "throttle": (lambda lab, job: lab.queue.throttle("w1", job.id, job.token, 60.0), "pending"),
    "cancelled": (lambda lab, job: lab.queue.cancelled("w1", job.id, job.token, ROW, b""), "cancelled"),
}
COUNT_STALE = {"complete", "retry", "dead_letter"}


@pytest.fixture(params=ENDINGS)
def ending(request):
    return request.param


def call_of(ending, lab, job):
    return ENDINGS[ending][0](lab, job)


def answer(reply):
    return reply[0] if isinstance(reply, list) else reply


def test_the_worker_that_has_the_job_is_heard_and_a_repeat_changes_nothing(lab, ending):
    job = lab.seed_processing()
    first, again = lab.run_twice(call_of(ending, lab, job))
    assert (answer(first), answer(again)) == ("OK", "ALREADY")
    assert lab.state(job.id) == ENDINGS[ending][1]
    assert lab.standing("processing:w1") == []


def test_a_worker_that_lost_the_job_is_not_heard(lab, ending):
    job = lab.seed_processing()
    lab.lose()
    before, counted = lab.everything(), lab.totals()
    assert answer(lab.run(call_of(ending, lab, job))) == "STALE"
    assert lab.totals().get("stale", 0) == (ending in COUNT_STALE)
    after = lab.everything()
    assert {**after, "totals": None} == {**before, "totals": None}
    assert {name: value for name, value in lab.totals().items() if name != "stale"} == counted


def test_a_worker_that_lost_the_job_is_not_heard_while_the_next_one_runs_it(lab, ending):
    job = lab.seed_processing()
    lab.lose()
    lab.hire("w2")
    (again,) = lab.fetch("w2")
    before = lab.record(job.id)
    assert answer(lab.run(call_of(ending, lab, job))) == "STALE"
    assert lab.record(job.id) == before
    assert lab.standing("processing:w2") == [job.id]
    assert lab.complete(again, "w2") == "OK"


@pytest.mark.parametrize("ending", [name for name in ENDINGS if name not in ("complete", "cancelled")])
def test_a_late_repeat_is_told_that_it_was_heard_though_the_job_runs_again(lab, ending):
    job = lab.seed_processing()
    call = call_of(ending, lab, job)
    lab.run(call)
    lab.run(lab.queue.redrive([job.id]))
    lab.pass_time(61)
    lab.run(lab.queue.promote())
    lab.hire("w2")
    (again,) = lab.fetch("w2")
    assert again.id == job.id
    assert [answer(reply) for reply in lab.run_twice(call)] == ["ALREADY", "ALREADY"]
    assert lab.record(job.id)["token"] == again.token


def test_of_a_job_that_is_gone_it_says_so(lab, ending):
    job = lab.seed_processing(retention=0)
    lab.complete(job)
    first, again = lab.run_twice(call_of(ending, lab, job))
    assert (answer(first), answer(again)) == ("MISSING", "MISSING")


def test_two_attempts_of_one_worker_have_two_tokens(lab, ending):
    job = lab.seed_processing()
    lab.run(lab.queue.requeue("w1", job.id, job.token))
    (again,) = lab.fetch()
    assert again.token != job.token
    assert answer(lab.run(call_of(ending, lab, job))) == "ALREADY"
    assert lab.state(job.id) == "processing"
    assert answer(lab.run(call_of(ending, lab, again))) == "OK"


def test_an_ending_frees_its_place_of_a_limited_type(lab, ending):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    job = lab.seed_processing()
    assert lab.redis.smembers(lab.keys.holding("email")) == {job.id.encode()}
    lab.run(call_of(ending, lab, job))
    assert lab.redis.smembers(lab.keys.holding("email")) == set()
    assert "holds" not in lab.record(job.id)


def test_a_child_that_runs_on_parent_failure_starts_when_its_parent_has_ended(lab, ending):
    """Somebody has asked to cancel the parent meanwhile: then every ending is one."""
    job = lab.seed_processing()
    child = lab.enqueue(after=(job.id,), on_parent_failure="run")
    lab.run(lab.queue.cancel(job.id))
    assert answer(lab.run(call_of(ending, lab, job))) == "OK"
    assert lab.standing("next") == [child]


def test_a_unique_key_is_released_only_when_the_job_ends(lab, ending):
    job = lab.seed_processing(unique_key="k")
    lab.run(call_of(ending, lab, job))
    ended = ENDINGS[ending][1] in ("completed", "failed", "cancelled")
    assert lab.redis.exists(lab.keys.prefix + "unique:k") == (not ended)
