"""continue_cancellations: step by step, all jobs that match a filter are cancelled, and no other."""

import json

import pytest

from gopher.queue.invariants import findings

WAITING = ["scheduled", "retrying", "pending"]


def cancel_all(lab, states=WAITING, *filters, work=1000, between=lambda: None, **options):
    """Cancel what matches; return the record of the operation."""
    lab.run(lab.queue.start_cancellation("c", states, *filters, **options))
    for _ in range(200):
        reply = lab.run(lab.queue.continue_cancellations(work))
        if reply.next_due is None:
            break
        between()
        lab.pass_time((reply.next_due - lab.now) / 1000)
    found = {name.decode(): value for name, value in lab.redis.hgetall(lab.keys.cancellation("c")).items()}
    assert found["state"] == b"finished"
    counts = {name: int(found[name]) for name in ("looked_at", "matched", "ended", "stopping")}
    return {**counts, "cancelled": counts["ended"]}


def states(lab, ids):
    return {lab.state(job_id) for job_id in ids}


def test_jobs_of_a_type_are_cancelled_wherever_they_wait(lab):
    lab.run(lab.queue.pause("email"))
    throttled = lab.seed_pending(2)
    lab.hire()
    assert lab.fetch(want=2) == []
    retrying, scheduled = lab.seed_retrying(job_type="sms"), lab.enqueue(due="+5000")
    pending = [lab.enqueue(priority=priority) for priority in ("high", "normal", "low")]
    others = [lab.enqueue("sms"), lab.enqueue("sms", due="+5000"), retrying]
    progress = cancel_all(lab, WAITING, "email")
    assert states(lab, [*throttled, scheduled, *pending]) == {"cancelled"}
    assert [lab.state(job_id) for job_id in others] == ["pending", "scheduled", "retrying"]
    assert (progress["cancelled"], progress["looked_at"]) == (6, 9)
    assert lab.totals()["cancelled:email"] == 6
    assert lab.standing("next") == [others[0]]
    assert findings(lab.redis, lab.keys) == []


def test_a_call_looks_at_a_limited_number_of_jobs_and_cancels_fewer(lab):
    lab.seed_pending(3000)
    lab.run(lab.queue.start_cancellation("c", ["pending"]))
    assert 0 < lab.run(lab.queue.continue_cancellations(900)).moved <= 101
    assert lab.run(lab.queue.continue_cancellations(900)).moved == 0
    lab.pass_time(0.005)
    assert lab.run(lab.queue.continue_cancellations(900)).moved > 0


def test_in_long_lists_each_job_is_looked_at_once_and_nothing_is_missed_while_others_come_and_go(lab):
    wanted, others = [], []
    for _ in range(12):
        wanted += lab.seed_pending(100, job_type="sms")
        others += lab.seed_pending(200, job_type="email")
        lab.pass_time(0.001)
    lab.hire()
    started = []

    def between():
        lab.run(lab.queue.heartbeat("w1", 60.0))
        started.extend(job.id for job in lab.fetch(want=5))
        lab.enqueue("email")

    progress = cancel_all(lab, ["pending"], "sms", between=between)
    left = [job_id for job_id in wanted if lab.state(job_id) == "pending"]
    assert left == []
    assert progress["cancelled"] == len(wanted) - len(set(started) & set(wanted))
    assert progress["looked_at"] < 3600 * 1.2
    assert findings(lab.redis, lab.keys) == []


def test_jobs_that_come_meanwhile_are_left_alone(lab):
    lab.seed_pending(1200)
    late = []

    def between():
        late.append(lab.enqueue())

    lab.set_clock(lab.now - 10**12)
    cancel_all(lab, ["pending"], between=between)
    assert late
    assert states(lab, late) == {"pending"}


@pytest.mark.parametrize("work", [1, 7])
def test_short_lists_and_sorted_sets_are_read_to_their_end_with_any_amount_of_work_a_call(lab, work):
    others = [*lab.seed_pending(40), *(lab.enqueue(due="+5000") for _ in range(40))]
    wanted = [*lab.seed_pending(5, job_type="sms"), *(lab.enqueue("sms", due="+5000") for _ in range(5))]
    assert cancel_all(lab, WAITING, "sms", work=work)["cancelled"] == 10
    assert (states(lab, wanted), states(lab, others)) == ({"cancelled"}, {"pending", "scheduled"})


def test_running_jobs_are_asked_to_stop_once_if_their_state_is_asked_for(lab):
    job = lab.seed_processing()
    assert cancel_all(lab)["stopping"] == 0
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).cancelling == []
    lab.redis.delete(lab.keys.cancellation("c"))
    assert cancel_all(lab, ["processing"])["stopping"] == 1
    assert lab.run(lab.queue.heartbeat("w1", 10.0)).cancelling == [job.id]


@pytest.mark.parametrize("payload", [{}, {"a": ['{"owner":"shop"}', "\\"]}, {"owner": "shop"}, {"x": '"owner":"shop"'}])
def test_fields_of_the_envelope_are_those_of_its_first_level(lab, payload):
    inside = lab.enqueue(envelope=json.dumps({"payload": payload}, separators=(",", ":")).encode())
    own = lab.enqueue(envelope=json.dumps({"payload": payload, "owner": "shop"}, separators=(",", ":")).encode())
    other = lab.enqueue(envelope=json.dumps({"payload": payload, "owner": "shop2"}, separators=(",", ":")).encode())
    cancel_all(lab, WAITING, "", None, ['"owner":"shop"'])
    assert [lab.state(job_id) for job_id in (inside, own, other)] == ["pending", "cancelled", "pending"]


def test_only_older_jobs_are_cancelled(lab):
    old = lab.enqueue()
    made = int(old[:8] + old[9:13], 16)
    assert cancel_all(lab, WAITING, "", made)["cancelled"] == 0
    lab.redis.delete(lab.keys.cancellation("c"))
    assert cancel_all(lab, WAITING, "", made + 1)["cancelled"] == 1


def test_a_dry_run_counts_and_cancels_nothing(lab):
    ids = [*lab.seed_pending(1100), lab.enqueue(due="+5000")]
    progress = cancel_all(lab, WAITING, "email", dry_run=True, work=300)
    assert (progress["matched"], progress["cancelled"]) == (1101, 0)
    assert states(lab, ids) == {"pending", "scheduled"}


def test_children_of_cancelled_jobs_are_told(lab):
    parent = lab.enqueue(due="+5000")
    child = lab.enqueue("sms", after=(parent,))
    cancel_all(lab, WAITING, "email")
    assert (lab.state(parent), lab.state(child)) == ("cancelled", "failed")


def test_a_job_that_waits_again_since_the_cancellation_began_is_cancelled(lab):
    job = lab.seed_processing()
    lab.redis.hset(lab.keys.job(job.id), "created", lab.now - 1)
    lab.run(lab.queue.start_cancellation("c", ["pending"]))
    lab.pass_time(1)
    assert lab.run(lab.queue.requeue("w1", job.id, job.token)) == "OK"
    assert lab.run(lab.queue.continue_cancellations(1000)).moved == 1


def test_a_job_that_was_just_handed_to_a_worker_still_waits(lab):
    job_id = lab.enqueue()
    lab.hire()
    lab.hand_over()
    assert cancel_all(lab, ["pending"])["cancelled"] == 1
    assert lab.fetch() == []
    assert lab.state(job_id) == "cancelled"


@pytest.mark.parametrize("count", [150, 250])
def test_a_list_that_is_read_at_once_is_read_once(lab, count):
    lab.seed_pending(count)
    assert cancel_all(lab, ["pending"], "sms")["looked_at"] == count


def test_jobs_of_a_tenant_are_cancelled_and_what_is_long_to_search_is_searched_in_more_calls(lab):
    wanted, other = lab.enqueue(tenant="customer:42"), lab.enqueue(tenant="customer:4")
    assert cancel_all(lab, WAITING, "", None, [], "customer:42")["cancelled"] == 1
    assert [lab.state(wanted), lab.state(other)] == ["cancelled", "pending"]
    envelope = json.dumps({"payload": {"x": "y" * 100_000}, "owner": "shop"}, separators=(",", ":")).encode()
    for _ in range(10):
        lab.enqueue(envelope=envelope)
    lab.run(lab.queue.start_cancellation("d", ["pending"], "", None, ['"owner":"shop"']))
    assert lab.run(lab.queue.continue_cancellations(100)).moved == 2
