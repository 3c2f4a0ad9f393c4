"""release_children: jobs that wait for a job of another queue are notified of its end."""

import pytest

from tests.lua.lab import new_job


def test_a_job_waits_for_one_of_another_queue_and_gets_its_result(lab):
    child = lab.enqueue(after=("p1",), remote_parents=(("p1", "files"),))
    assert (lab.state(child), lab.record(child)["parents"]) == ("scheduled", "p1")
    assert [entry[:2] for entry in lab.posted("files")] == [["follow", "p1"]]
    assert lab.run_twice(lab.queue.release_children("p1", "completed", "7", 60_000)) == (1, 0)
    lab.run(lab.queue.promote())
    lab.hire()
    (job,) = lab.fetch()
    assert (job.id, job.parents) == (child, {"p1": b"7"})


@pytest.mark.parametrize(("policy", "state"), [("fail", "failed"), ("run", "pending")])
def test_its_failure_fails_those_that_do_not_run_anyway(lab, policy, state):
    child = lab.enqueue(after=("p1",), remote_parents=(("p1", "files"),), on_parent_failure=policy)
    lab.run(lab.queue.release_children("p1", "failed", "", 0))
    lab.run(lab.queue.promote())
    assert lab.state(child) == state


def test_it_waits_for_those_of_its_own_queue_too(lab):
    own = lab.seed_processing()
    child = lab.enqueue(after=(own.id, "p1"), remote_parents=(("p1", "files"),))
    lab.run(lab.queue.release_children("p1", "completed", "", 0))
    lab.run(lab.queue.promote())
    assert lab.state(child) == "scheduled"
    lab.complete(own)
    assert lab.state(child) == "pending"


def test_thousands_are_notified_step_by_step_and_asked_for_once(lab):
    jobs = [new_job(after=("p1",), remote_parents=(("p1", "files"),)) for _ in range(500)]
    lab.run(lab.queue.enqueue(jobs))
    assert len(lab.posted("files")) == 1
    lab.run(lab.queue.release_children("p1", "completed", "", 0))
    released = [lab.run(lab.queue.promote()).moved for _ in range(4)]
    assert released == [200, 200, 100, 0]
    assert not {"children", "families", "telling", "remote_children"} & {
        key.partition(":")[0] for key in lab.everything()
    }


def test_one_that_comes_after_the_end_is_notified_too(lab):
    for _ in range(2):
        child = lab.enqueue(after=("p1",), remote_parents=(("p1", "files"),))
        lab.run(lab.queue.release_children("p1", "completed", "", 0))
    lab.run(lab.queue.promote())
    assert lab.state(child) == "pending"
