"""rescue: what a lost worker held goes back, once, and a clock that was set rescues nobody."""

import pytest

from gopher.queue.moves import MAX_LOST
from tests.lua.lab import LEASE


def test_no_worker_is_lost_while_leases_last(lab):
    lab.seed_processing()
    lab.pass_time(LEASE - 0.001)
    rescued = lab.run_twice(lab.queue.rescue(None, 0.0))[0]
    assert (rescued.step, rescued.now, rescued.returned, rescued.died, rescued.workers) == (None, lab.now, 0, 0, [])


def test_the_jobs_of_a_lost_worker_go_to_the_head_of_the_queue(lab):
    first, second, waiting, last = lab.seed_pending(4)
    lab.hire()
    lab.fetch(want=2)
    lab.pass_time(LEASE)
    rescued, again = lab.run_twice(lab.queue.rescue(None, 0.0))
    assert (rescued.returned, rescued.died, rescued.workers) == (2, 0, ["w1"])
    assert (again.returned, again.workers) == (0, [])
    assert lab.standing("next") == [waiting]
    assert set(lab.standing("pending:normal")[:2]) == {first, second}
    assert lab.standing("pending:normal")[2:] == [last]
    assert lab.standing("processing:w1") == []


def test_jobs_that_go_back_keep_their_order(lab):
    ids = lab.seed_pending(3)
    lab.hire()
    lab.fetch(want=3)
    lab.lose()
    assert lab.standing("next") + lab.standing("pending:normal") == ids


def test_a_loss_is_kept_apart_from_failures_and_written_down(lab):
    job = lab.seed_processing()
    started = lab.now
    lab.run(lab.queue.report([(job.id, job.token, b"{}", b"")]))
    lab.lose()
    record = lab.record(job.id)
    assert (record["state"], record["lost"], record["since"]) == ("pending", "1", str(lab.now))
    assert not {"token", "progress"} & set(record)
    assert lab.history(job.id) == [
        {"attempt": 1, "outcome": "lost", "worker": "w1", "started_at": started, "ended_at": lab.now}
    ]
    assert lab.totals()["rescued:email"] == 1
    lab.hire("w2")
    (again,) = lab.fetch("w2")
    assert (again.attempt, again.lost) == (2, 1)


def test_a_delivered_job_that_never_started_is_requeued_uncounted(lab):
    job_id = lab.enqueue()
    lab.hire()
    lab.hand_over()
    assert lab.lose().returned == 1
    assert lab.standing("next") == [job_id]
    assert "lost" not in lab.record(job_id)


def test_a_job_that_loses_worker_after_worker_is_given_up(lab):
    job_id = lab.enqueue(unique_key="k")
    child = lab.enqueue(after=(job_id,))
    for loss in range(MAX_LOST):
        assert lab.state(job_id) == "pending"
        lab.hire(f"w{loss}")
        (job,) = lab.fetch(f"w{loss}")
        rescued = lab.lose()
    assert (rescued.returned, rescued.died) == (0, 1)
    record = lab.record(job_id)
    assert (record["state"], record["lost"]) == ("failed", str(MAX_LOST))
    assert '"type":"WorkerLost"' in record["error"]
    assert lab.scores("failed") == {job_id: lab.now, child: lab.now}
    assert lab.totals()["failed:email:WorkerLost"] == 1
    assert len(lab.history(job_id)) == MAX_LOST
    assert not lab.redis.exists(lab.keys.prefix + "unique:k")
    assert lab.complete(job, f"w{MAX_LOST - 1}") == "STALE"


@pytest.mark.parametrize("retention", [None, 0])
def test_a_job_that_was_cancelled_meanwhile_is_cancelled(lab, retention):
    job = lab.seed_processing(retention=retention)
    lab.run(lab.queue.cancel(job.id))
    rescued = lab.lose()
    assert (rescued.returned, rescued.died) == (0, 0)
    assert lab.state(job.id) == ("cancelled" if retention is None else None)
    assert lab.totals()["cancelled:email"] == 1
    assert not lab.redis.exists(lab.keys.prefix + "cancelling:w1")


def test_a_cancelled_one_lets_a_child_go_that_may_run_whatever_happens(lab):
    job = lab.seed_processing()
    child = lab.enqueue(after=(job.id,), on_parent_failure="run")
    lab.run(lab.queue.cancel(job.id))
    lab.lose()
    assert lab.standing("next") == [child]


def test_its_place_of_a_limited_type_is_free_again(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    job = lab.seed_processing()
    other = lab.enqueue()
    lab.hire("w2")
    assert lab.fetch("w2") == []
    lab.lose()
    assert lab.redis.scard(lab.keys.holding("email")) == 0
    lab.hire("w3")
    assert [again.id for again in lab.fetch("w3", want=2)] in ([job.id], [other])


def test_what_it_had_settled_before_is_left_alone(lab):
    lab.hire()
    lab.seed_pending(2)
    done, running = lab.fetch(want=2)
    lab.complete(done)
    assert lab.lose().returned == 1
    assert (lab.state(done.id), lab.state(running.id)) == ("completed", "pending")


def test_a_limit_leaves_the_rest_for_the_next_call(lab):
    lab.seed_pending(5)
    lab.hire()
    lab.fetch(want=5)
    lab.pass_time(LEASE)
    assert [lab.run(lab.queue.rescue(None, 0.0, limit=2)).returned for _ in range(4)] == [2, 2, 1, 0]


# The fence


def test_the_blocking_pop_of_a_worker_taken_for_dead_strands_no_job(lab):
    lab.hire()
    lab.lose()
    job_id = lab.enqueue()
    lab.hand_over()
    assert lab.run(lab.queue.rescue(None, 0.0)).returned == 1
    assert lab.standing("next") == [job_id]


def test_a_lost_worker_is_kept_in_mind_for_ten_minutes_and_then_forgotten(lab):
    lab.hire()
    lab.lose()
    lab.pass_time(600)
    lab.run(lab.queue.rescue(None, 0.0))
    assert list(lab.scores("fenced")) == ["w1"]
    lab.pass_time(0.001)
    lab.run(lab.queue.rescue(None, 0.0))
    assert lab.scores("fenced") == {}


def test_a_fenced_worker_that_holds_a_job_is_never_forgotten(lab):
    lab.seed_processing()
    lab.lose()
    lab.enqueue()
    lab.hand_over()
    lab.pass_time(3600)
    assert lab.run(lab.queue.rescue(None, 0.0, limit=1)).returned == 1
    assert lab.scores("fenced") == {}


# A clock that was set


@pytest.mark.parametrize("step", [5001, 3_600_000, -5001, -3_600_000])
def test_a_change_of_the_clock_rescues_no_job_and_shifts_the_leases(lab, step):
    job = lab.seed_processing()
    last = lab.now
    lease = lab.scores("workers")["w1"]
    lab.set_clock(lab.now + 2000 + step)
    rescued = lab.run(lab.queue.rescue(last, 2.0))
    assert (rescued.step, rescued.workers) == (step, [])
    assert lab.scores("workers") == {"w1": lease + step}
    assert lab.complete(job) == "OK"


@pytest.mark.parametrize("step", [3_600_000, -3_600_000])
def test_leases_are_shifted_once_however_many_notice_a_change_of_the_clock(lab, step):
    lab.hire()
    last = lab.now
    lease = lab.scores("workers")["w1"]
    lab.set_clock(lab.now + 2000 + step)
    assert lab.run(lab.queue.rescue(last, 2.0)).step == step
    lab.pass_time(0.5)
    # A second caller, whose last look was a little later, and the first one, whose answer was lost.
    assert lab.run(lab.queue.rescue(last + 1000, 1.5)).step is None
    assert lab.run(lab.queue.rescue(last, 2.5)).step is None
    assert lab.scores("workers") == {"w1": lease + step}


def test_a_clock_that_is_set_again_moves_leases_again(lab):
    lab.hire()
    lease = lab.scores("workers")["w1"]
    for step in (3_600_000, -3_600_000, 7_200_000):
        last = lab.now
        lab.set_clock(lab.now + 1000 + step)
        assert lab.run(lab.queue.rescue(last, 1.0)).step == step
    assert lab.scores("workers") == {"w1": lease + 7_200_000}


@pytest.mark.parametrize("step", [1000, -5000, 0])
def test_clocks_may_differ_a_little(lab, step):
    lab.hire()
    last = lab.now
    lab.set_clock(lab.now + 20_000 + step)
    rescued = lab.run(lab.queue.rescue(last, 20.0))
    assert (rescued.step, rescued.workers) == (None, ["w1"])


@pytest.mark.parametrize("wait", [1001, 5000])
def test_a_call_that_waited_for_the_server_rescues_no_jobs(lab, wait):
    """Heartbeats may wait behind it."""
    lab.seed_processing()
    last = lab.now
    lab.set_clock(lab.now + 20_000 + wait)
    assert lab.run(lab.queue.rescue(last, 20.0)) == (None, lab.now, 0, 0, [])
    assert lab.run(lab.queue.rescue(lab.now, 0.0)).returned == 1


def test_a_first_look_knows_of_no_step(lab):
    lab.hire()
    lab.pass_time(86400)
    assert lab.run(lab.queue.rescue(None, 0.0)).workers == ["w1"]


def test_after_a_step_the_lease_runs_as_long_as_it_would_have(lab):
    lab.seed_processing()
    last = lab.now
    lab.set_clock(lab.now + 3_600_000)
    assert lab.run(lab.queue.rescue(last, 0.0)).step == 3_600_000
    last = lab.now
    lab.pass_time(LEASE - 1)
    assert lab.run(lab.queue.rescue(last, LEASE - 1)).returned == 0
    last = lab.now
    lab.pass_time(1)
    assert lab.run(lab.queue.rescue(last, 1.0)).returned == 1


def test_a_job_that_was_lost_or_stopped_has_a_duration(lab):
    lost, stopped = lab.seed_processing(), lab.seed_processing("w2")
    lab.pass_time(3)
    lab.run(lab.queue.cancel(stopped.id))
    assert lab.run(lab.queue.cancelled("w2", stopped.id, stopped.token, b"{}", b"")) == "OK"
    lab.redis.hset(lab.keys.job(lost.id), "lost", 99)
    lab.lose()
    assert lab.state(lost.id) == "failed"
    assert (lab.record(stopped.id)["duration"], lab.record(lost.id)["duration"]) == ("3000", "13001")


def test_a_lost_worker_is_remembered_as_long_as_its_list_holds_a_job(lab):
    ids = lab.seed_pending(3)
    lab.hire()
    lab.fetch(want=3)
    lab.pass_time(LEASE + 0.001)
    lab.run(lab.queue.rescue(None, 0.0, limit=1))
    lab.pass_time(3600)
    lab.run(lab.queue.rescue(None, 0.0, limit=1))
    assert list(lab.scores("fenced")) == ["w1"]
    lab.run(lab.queue.rescue(None, 0.0))
    assert lab.standing("processing:w1") == []
    assert sorted(lab.standing("next") + lab.standing("pending:normal")) == sorted(ids)


def test_a_job_that_was_to_be_cancelled_keeps_no_token(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.cancel(job.id))
    lab.lose()
    assert lab.state(job.id) == "cancelled"
    assert "token" not in lab.record(job.id)
