"""depart: a waiting job leaves its queue for another one, and is in the outbox until it is stored there."""

import pytest

from gopher.jobs.job import new_job_id
from gopher.queue.deliveries import entry_of


def depart(lab, job_id, to="other", priority=""):
    answer, *posted = lab.run(lab.queue.depart(job_id, to, "m", priority))
    return answer.decode(), [entry_of(each) for each in posted]


@pytest.mark.parametrize("place", ["next", "pending:normal", "scheduled", "retrying", "throttled"])
def test_a_waiting_job_leaves_with_all_that_its_record_has(lab, place):
    if place == "throttled":
        lab.run(lab.queue.pause("email"))
        lab.hire()
    if place == "pending:normal":
        lab.seed_pending(1)
    due = {"due": "+5000"} if place == "scheduled" else {}
    envelope = '{"payload":{"ä":"\\u00e4"}}'.encode()
    job_id = lab.seed_retrying() if place == "retrying" else lab.enqueue(envelope=envelope, retention=60, **due)
    if place == "throttled":
        assert lab.fetch() == []
    before = lab.record(job_id)
    answer, (entry,) = depart(lab, job_id)
    assert (answer, entry.about, entry.job_id) == ("OK", "m", job_id)
    names, values = entry.rest[1][0::2], entry.rest[1][1::2]
    plain = [bytes.fromhex(value[0]).decode() if isinstance(value, list) else value for value in values]
    assert dict(zip(names, plain, strict=True)) == before
    assert lab.record(job_id) == {}
    assert job_id not in lab.standing("next") + lab.standing("pending:normal") + lab.standing("scheduled")
    assert (lab.totals()["moved"], depart(lab, job_id)) == (1, ("MISSING", []))
    assert lab.run(lab.queue.survey()).holds


@pytest.mark.parametrize("options", [{}, {"due": "+5000"}])
def test_it_leaves_with_the_priority_that_it_is_given(lab, options):
    job_id = lab.enqueue(**options)
    answer, (entry,) = depart(lab, job_id, priority="high")
    fields = entry.rest[1]
    assert (answer, fields[fields.index("priority") + 1]) == ("OK", "high")
    assert lab.standing("next") + lab.standing("pending:high") + lab.standing("scheduled") == []
    assert lab.run(lab.queue.survey()).holds


def test_without_a_queue_it_stays_as_it_is(lab):
    job_id = lab.enqueue()
    before = lab.record(job_id)
    assert depart(lab, job_id, to="", priority="high") == ("OK", [])
    assert (lab.record(job_id), lab.standing("next")) == (before, [job_id])
    child = lab.enqueue(after=(job_id,))
    assert depart(lab, child, to="") == ("PARENTS", [])


def test_its_unique_key_is_free_again(lab):
    depart(lab, lab.enqueue(unique_key="k"))
    lab.enqueue(unique_key="k")


def test_a_unique_key_that_another_job_has_stays_with_it(lab):
    job_id = lab.enqueue(unique_key="k")
    lab.redis.delete(lab.keys.unique("k"))
    other = lab.enqueue(unique_key="k")
    _, (entry,) = depart(lab, job_id)
    assert "unique_left" not in entry.rest[1][0::2]
    assert lab.redis.get(lab.keys.unique("k")).decode() == other


def test_jobs_that_depend_on_others_of_their_queue_stay(lab):
    parent = lab.enqueue(due="+5000")
    child = lab.enqueue(after=(parent,))
    assert depart(lab, parent) == ("CHILDREN", [])
    assert depart(lab, child) == ("PARENTS", [])
    done = lab.seed_completed()
    assert depart(lab, lab.enqueue(after=(done,))) == ("PARENTS", [])


def test_what_does_not_wait_stays(lab):
    running = lab.seed_processing()
    assert depart(lab, running.id) == ("processing", [])
    lab.complete(running)
    assert depart(lab, running.id) == ("completed", [])
    assert depart(lab, new_job_id()) == ("MISSING", [])
    handed = lab.enqueue()
    lab.hand_over()
    assert depart(lab, handed) == ("STARTING", [])
    assert lab.state(handed) == "pending"


def test_the_job_behind_it_is_the_next_one(lab):
    first, second = lab.seed_pending(2)
    assert depart(lab, first)[0] == "OK"
    assert lab.standing("next") == [second]
