"""survey: what a queue holds, at a price that does not depend on how much that is."""

import pytest

from gopher.queue.survey import Survey
from tests.lua.lab import failure


def surveyed(lab) -> Survey:
    return lab.run(lab.queue.survey())


def test_an_empty_queue_holds_nothing(lab):
    assert surveyed(lab) == Survey(lab.now, False, False, False, False, False, False, None, 0)


def test_it_changes_nothing(lab):
    lab.enqueue()
    lab.run_twice(lab.queue.survey())


def test_waiting_jobs_wait_and_are_not_due_again(lab):
    lab.seed_pending(3)
    found = surveyed(lab)
    assert (found.waits, found.holds, found.next_due, found.counted, found.ended) == (True, True, None, 3, False)


@pytest.mark.parametrize("what", ["scheduled", "retrying"])
def test_what_waits_for_its_time_tells_when_that_is(lab, what):
    if what == "scheduled":
        lab.enqueue(due=str(lab.now + 5000))
    else:
        lab.seed_retrying(5.0)
        lab.run(lab.queue.resign("w1"))
    found = surveyed(lab)
    assert (found.waits, found.next_due) == (True, lab.now + 5000)


def test_a_schedule_tells_when_it_fires(lab):
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now + 7000))
    found = surveyed(lab)
    assert (found.waits, found.holds, found.next_due) == (False, True, lab.now + 7000)


def test_ids_of_cancelled_jobs_in_a_list_do_not_count_as_waiting(lab):
    ids = lab.seed_pending(1100)
    for job_id in ids:
        lab.run(lab.queue.cancel(job_id))
    assert lab.tombstones() or not lab.standing("pending:normal")
    assert not surveyed(lab).waits


def test_of_a_queue_that_a_worker_serves_no_more_is_looked_for(lab):
    lab.hire()
    lab.enqueue()
    assert surveyed(lab) == Survey(lab.now, True, False, False, True, False, False, None, 0)


def test_the_jobs_of_a_lost_worker_may_have_to_go_back(lab):
    lab.seed_processing()
    lab.lose()
    found = surveyed(lab)
    assert (found.served, found.fenced, found.waits) == (False, True, True)


def test_ended_jobs_are_to_be_pruned_some_day(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.dead_letter("w1", failure(job), "ValueError"))
    lab.run(lab.queue.resign("w1"))
    found = surveyed(lab)
    assert (found.waits, found.holds, found.ended) == (False, True, True)


def test_a_limit_of_a_type_is_nothing_that_a_queue_has_to_be_known_for(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None))
    found = surveyed(lab)
    assert (found.limited, found.holds) == (True, False)


def test_it_costs_the_same_however_much_there_is(lab):
    def commands():
        lab.redis.config_resetstat()
        surveyed(lab)
        stats = lab.redis.info("commandstats")
        return sum(each["calls"] for name, each in stats.items() if "config" not in name and "info" not in name)

    lab.seed_pending(2)
    lab.enqueue(limit_key="tenant-0")
    few = commands()
    lab.seed_pending(200)
    for number in range(30):
        lab.enqueue(f"type-{number}", limit_key=f"tenant-{number}")
    assert commands() == few <= 12


def test_the_jobs_of_a_paused_queue_wait(lab):
    lab.run(lab.queue.pause())
    ids = lab.seed_pending(2)
    assert surveyed(lab).waits
    for job_id in ids:
        lab.redis.hset(lab.keys.job(job_id), "state", "cancelled")
    lab.redis.hset(lab.keys.tombstones, "normal", 2)
    assert not surveyed(lab).waits
    for job_id in ids:
        lab.redis.hset(lab.keys.job(job_id), "state", "pending")
    lab.redis.delete(lab.keys.tombstones)


def test_a_list_replaced_by_another_type_holds_no_jobs(lab):
    lab.run(lab.queue.pause())
    lab.redis.set(lab.keys.pending("high"), "nonsense")
    assert not surveyed(lab).waits
    lab.redis.delete(lab.keys.pending("high"))


def test_of_several_times_the_earliest_is_told(lab):
    lab.enqueue(due="+5000")
    lab.run(lab.queue.set_schedule("nightly", b"{}", lab.now + 7000))
    assert surveyed(lab).next_due == lab.now + 5000
    lab.run(lab.queue.set_schedule("hourly", b"{}", lab.now + 3000))
    assert surveyed(lab).next_due == lab.now + 3000
