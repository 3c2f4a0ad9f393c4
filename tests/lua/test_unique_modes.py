"""enqueue with a unique mode: what becomes of the unfinished job that has the unique key, and of the new one."""

import msgspec
import pytest

from gopher.base.states import State
from gopher.queue.arguments import Request
from gopher.queue.bounds import Bounds
from gopher.queue.new_jobs import NO_REQUEST
from tests.lua.lab import failure, new_job


def replacing(**options):
    return new_job(**{"unique_key": "k", "unique_mode": "replace", "due": "+5000", **options})


def store(lab, *jobs, request=NO_REQUEST):
    return lab.run(lab.queue.enqueue(jobs, request))


@pytest.fixture
def waiting(lab):
    """A job that is due in 5 s, with the unique key k."""
    return lab.enqueue(unique_key="k", due="+5000", envelope=b'{"payload":{"n":1}}')


def test_the_last_payload_wins_and_the_due_time_moves(lab, waiting):
    lab.pass_time(3)
    new = replacing(envelope=b'{"payload":{"n":2}}')
    assert store(lab, new).answers == [f"{waiting} scheduled normal replaced"]
    assert lab.scores("scheduled") == {waiting: lab.now + 5000}
    assert lab.record(waiting)["envelope"] == '{"payload":{"n":2}}'
    assert lab.record(new.id) == {}
    assert lab.totals()["replaced:email"] == 1
    lab.pass_time(5)
    assert lab.run(lab.queue.promote()).moved == 1
    lab.hire()
    assert [job.envelope for job in lab.fetch(want=5)] == [b'{"payload":{"n":2}}']


def test_a_job_is_not_postponed_beyond_the_longest_wait_since_the_first_submission(lab):
    first = replacing(max_wait=12.0)
    begun = lab.now
    assert store(lab, first).answers == ["NEW"]
    for passed in (4, 8, 11):
        lab.set_clock(begun + passed * 1000)
        store(lab, replacing(max_wait=12.0))
        assert lab.scores("scheduled") == {first.id: begun + min(passed + 5, 12) * 1000}
    lab.set_clock(begun + 13_000)
    assert store(lab, replacing(max_wait=12.0)).answers == [f"{first.id} pending normal replaced"]
    assert lab.standing("next") == [first.id]


def test_a_replacement_without_a_delay_is_due_at_once(lab, waiting):
    assert store(lab, replacing(due="", priority="high")).answers == [f"{waiting} pending high replaced"]
    assert (lab.standing("next"), lab.scores("scheduled")) == ([waiting], {})
    assert "due" not in lab.record(waiting)
    lab.hire()
    assert [(job.id, job.priority) for job in lab.fetch(want=5)] == [(waiting, "high")]


def test_a_job_whose_time_has_come_keeps_its_place_and_priority_and_gets_the_payload(lab):
    first, second, third = (lab.enqueue(unique_key=key) for key in ("a", "k", "c"))
    for due in ("", "+5000"):
        new = replacing(due=due, priority="high", envelope=b'{"payload":{"n":2}}')
        assert store(lab, new).answers == [f"{second} pending normal replaced"]
    lab.hire()
    assert [(job.id, job.priority) for job in lab.fetch(want=5)] == [
        (each, "normal") for each in (first, second, third)
    ]


def test_a_throttled_job_is_replaced_where_it_waits(lab):
    lab.run(lab.queue.set_limit("email", 0.001, 1.0, None))
    lab.seed_processing()
    held = lab.enqueue(unique_key="k")
    assert lab.fetch() == []
    assert store(lab, replacing(limit_key="ann")).answers == [f"{held} pending normal replaced"]
    assert lab.standing("throttled:email:normal") == [held]
    assert lab.record(held)["bucket"] == "email/ann"
    assert store(lab, replacing(tenant="another")).answers == [f"{held} pending normal replaced"]
    assert lab.standing("throttled:email:normal") == [held]
    assert lab.standing("next") == lab.standing("pending_of:normal:another") == []


def test_all_options_are_those_of_the_last_submission(lab):
    options = {"expires": "+60000", "give_up": "+70000", "retention": 3.0, "limit_key": "ann", "priority": "low"}
    options["callback"] = "failed http://example.com/ "
    job = lab.enqueue(unique_key="k", due="+5000", **options)
    store(lab, replacing(retention=4.0, priority="high", unique_for=50.0))
    record = lab.record(job)
    assert {"expires", "give_up", "bucket", "callback"}.isdisjoint(record)
    assert (record["retention"], record["priority"]) == ("4000", "high")
    assert 40_000 < lab.redis.pttl(lab.keys.unique("k")) <= 50_000
    store(lab, replacing(**options))
    record = lab.record(job)
    assert (record["expires"], record["give_up"]) == (str(lab.now + 60_000), str(lab.now + 70_000))
    assert (record["bucket"], record["priority"], record["retention"]) == ("email/ann", "low", "3000")
    assert record["callback"] == options["callback"]


def test_a_retrying_job_begins_anew_with_the_new_payload(lab):
    job = lab.seed_processing(unique_key="k")
    assert lab.run(lab.queue.retry("w1", failure(job), 600.0)) == "OK"
    lab.pass_time(4)
    assert store(lab, replacing(max_wait=7.0)).answers == [f"{job.id} scheduled normal replaced"]
    assert (lab.scores("retrying"), lab.scores("scheduled")) == ({}, {job.id: lab.now + 5000})
    record = lab.record(job.id)
    assert {"attempts", "error", "crashes"}.isdisjoint(record)
    assert record["since"] == str(lab.now)
    lab.pass_time(5)
    lab.hire()
    lab.run(lab.queue.promote())
    assert [each.attempt for each in lab.fetch(want=5)] == [1]


def test_what_comes_while_a_job_runs_is_a_new_one_that_waits_for_its_end_and_is_replaced_in_turn(lab):
    running = lab.seed_processing(unique_key="k")
    second = replacing(due="")
    assert store(lab, second).answers == ["NEW"]
    assert (lab.state(second.id), lab.record(second.id)["parents"]) == ("scheduled", running.id)
    assert store(lab, replacing(due="", envelope=b"{}")).answers == [f"{second.id} scheduled normal replaced"]
    assert lab.fetch(want=5) == []
    assert lab.run(lab.queue.dead_letter("w1", failure(running), "ValueError")) == "OK"
    assert [job.id for job in lab.fetch(want=5)] == [second.id]


def test_what_waits_for_a_running_job_is_due_no_earlier_than_its_own_delay(lab):
    running = lab.seed_processing(unique_key="k")
    second = replacing(due="+1000")
    store(lab, second)
    store(lab, replacing(due="+9000"))
    assert lab.complete(running) == "OK"
    assert lab.scores("scheduled") == {second.id: lab.now + 9000}


def test_the_key_of_a_running_job_goes_to_the_one_that_follows_it(lab):
    running = lab.seed_processing(unique_key="k")
    second = replacing()
    store(lab, second)
    assert lab.complete(running) == "OK"
    assert lab.redis.get(lab.keys.unique("k")) == second.id.encode()


@pytest.mark.parametrize("how", ["cancelled", "cancelled, not kept", "cancelled by filter", "purged", "expired"])
@pytest.mark.parametrize("mode", ["", "replace", "reject"])
def test_a_running_job_has_its_key_again_if_the_one_that_follows_it_ends_first(lab, how, mode):
    running = lab.enqueue(unique_key="k")
    lab.hire()
    (job,) = lab.fetch()
    follower = replacing(
        due="", retention=0 if "not kept" in how else None, expires="+3000" if how == "expired" else ""
    )
    assert store(lab, follower).answers == ["NEW"]
    end_waiting_job(lab, follower.id, how)
    new = replacing(due="", unique_mode=mode)
    reply = store(lab, new)
    if mode == "replace":
        assert (reply.answers, lab.state(new.id), lab.standing("next")) == (["NEW"], "scheduled", [])
        lab.complete(job)
        assert lab.state(new.id) == "pending"
    elif not mode:
        assert reply.answers == [f"{running} processing normal"]
    else:
        assert reply.kind == "REJECTED"
        lab.complete(job)
        assert store(lab, replacing()).answers == ["NEW"]


def end_waiting_job(lab, job_id, how):
    if how == "expired":
        lab.pass_time(4)
    elif how == "purged":
        assert lab.run(lab.queue.purge("scheduled")).jobs == 1
    elif how == "cancelled by filter":
        lab.run(lab.queue.start_cancellation("c", ["scheduled"]))
        assert lab.run(lab.queue.continue_cancellations(900)).moved == 1
    else:
        assert lab.run(lab.queue.cancel(job_id)) == "CANCELLED"


@pytest.mark.parametrize("end", ["dead", "completed", "expired"])
def test_a_job_that_has_ended_is_not_replaced(lab, end):
    if end == "expired":
        lab.enqueue(unique_key="k", due="+5000", expires="+1000")
        lab.pass_time(2)
    elif end == "dead":
        lab.seed_failed(unique_key="k")
    else:
        lab.seed_completed(unique_key="k")
    assert store(lab, replacing()).answers == ["NEW"]


def test_jobs_that_wait_for_a_replaced_one_still_do(lab, waiting):
    child = lab.enqueue(after=(waiting,))
    store(lab, replacing(due=""))
    lab.hire()
    (job,) = lab.fetch(want=5)
    assert lab.complete(job) == "OK"
    assert [each.id for each in lab.fetch(want=5)] == [child]


def test_a_job_that_waits_for_others_is_replaced_and_still_does(lab):
    parent = lab.enqueue(due="+60000")
    child = lab.enqueue(unique_key="k", after=(parent,))
    assert store(lab, replacing(due="+9000")).answers == [f"{child} scheduled normal replaced"]
    lab.run(lab.queue.cancel(parent))
    assert lab.state(child) == State.FAILED
    again = lab.enqueue(unique_key="k", after=(parent,), on_parent_failure="run")
    assert store(lab, replacing(due="")).answers == [f"{again} pending normal replaced"]


def test_keys_of_other_types_and_owners_are_others(lab, waiting):
    assert store(lab, replacing(job_type="report")).answers == ["NEW"]
    assert store(lab, replacing(owner="ann")).answers == ["NEW"]
    assert lab.scores("scheduled")[waiting] == lab.now + 5000


def test_a_repeat_of_a_replacement_changes_nothing_even_if_the_job_has_run_meanwhile(lab, waiting):
    new = replacing(due="")
    first, second = lab.run_twice(lab.queue.enqueue([new]))
    assert first == second
    lab.hire()
    (job,) = lab.fetch(want=5)
    assert store(lab, new) == first
    assert lab.complete(job) == "OK"
    assert store(lab, new) == first
    assert lab.fetch(want=5) == []


def test_a_repeat_with_an_idempotency_key_is_answered_as_the_first_time(lab, waiting):
    new, request = replacing(), Request("key", "digest", "1")
    first = store(lab, new, request=request)
    lab.pass_time(3)
    again = store(lab, new, request=request)
    assert (again.kind, again.answers) == ("REPLAYED", first.answers)
    assert lab.scores("scheduled") == {waiting: lab.now + 2000}


def test_the_last_of_a_call_wins_and_what_waits_for_any_of_them_waits_for_the_first(lab):
    first, second, third = (replacing(due="", envelope=b'{"payload":{"n":%d}}' % n) for n in range(3))
    child = new_job(after=(third.id,))
    answers = store(lab, first, second, third, child).answers
    assert answers == ["NEW", *[f"{first.id} pending normal replaced"] * 2, "NEW"]
    assert lab.record(child.id)["parents"] == first.id
    lab.hire()
    assert [(job.id, job.envelope) for job in lab.fetch(want=5)] == [(first.id, b'{"payload":{"n":2}}')]


def test_one_that_rejects_keeps_all_of_its_call_from_being_stored(lab, waiting):
    plain, rejecting = new_job(), new_job(unique_key="k", unique_mode="reject")
    before = lab.everything()
    reply = store(lab, plain, rejecting)
    assert (reply.kind, reply.answers) == ("REJECTED", ["NEW", f"{waiting} scheduled normal"])
    assert lab.everything() == before


def test_one_that_rejects_is_stored_if_the_key_is_free_and_a_repeat_is_one(lab):
    rejecting = new_job(unique_key="k", unique_mode="reject")
    first, second = lab.run_twice(lab.queue.enqueue([rejecting]))
    assert (first.answers, second.answers) == (["NEW"], ["DUPLICATE"])


def test_two_of_a_call_that_reject_each_other_are_both_rejected(lab):
    first, second = (new_job(unique_key="k", unique_mode="reject") for _ in range(2))
    assert store(lab, first, second).kind == "REJECTED"
    assert lab.record(first.id) == {}


def test_two_of_a_call_that_reject_for_the_same_job_are_both_told_of_it(lab, waiting):
    two = [new_job(unique_key="k", unique_mode="reject") for _ in range(2)]
    assert store(lab, *two).answers == [f"{waiting} scheduled normal"] * 2


@pytest.mark.parametrize(
    ("mode", "folder", "kind"),
    [("replace", "another", "MOVED"), ("replace", "", "OK"), ("skip", "another", "OK")],
)
def test_only_a_replacement_with_files_needs_them_in_the_folder_of_the_job(lab, waiting, mode, folder, kind):
    assert store(lab, new_job(unique_key="k", unique_mode=mode, folder=folder)).kind == kind


@pytest.mark.parametrize("is_waiting", [True, False])
def test_a_replacement_whose_files_are_in_the_folder_of_the_job_is_taken(lab, is_waiting):
    waiting = lab.enqueue(unique_key="k", due="+5000") if is_waiting else None
    new = replacing()
    assert store(lab, msgspec.structs.replace(new, folder=waiting or new.id)).kind == "OK"


def test_one_that_rejects_by_itself_lets_the_others_be_stored(lab, waiting):
    plain, rejecting = new_job(), new_job(unique_key="k", unique_mode="skip")
    assert store(lab, plain, rejecting).answers == ["NEW", f"{waiting} scheduled normal rejected"]
    assert lab.record(rejecting.id) == {}


def test_a_replacement_is_not_one_more_that_waits_but_one_that_follows_a_running_job_is(lab, waiting):
    full = Bounds("all", "1", "", "")
    assert lab.run(lab.queue.enqueue([replacing()], NO_REQUEST, full)).kind == "OK"
    lab.run(lab.queue.cancel(waiting))
    lab.seed_processing(unique_key="k")
    lab.enqueue()
    assert lab.run(lab.queue.enqueue([replacing()], NO_REQUEST, full)).kind == "BEYOND"


def test_the_owners_waiting_jobs_are_counted_as_before(lab):
    bounded = Bounds("all", "", "ann", "9")
    first = replacing(owner="ann")
    for job in (first, replacing(owner="ann", due="")):
        lab.run(lab.queue.enqueue([job], NO_REQUEST, bounded))
    assert lab.redis.hgetall(lab.keys.waiting) == {b"ann": b"1"}
    lab.hire()
    assert [job.id for job in lab.fetch()] == [first.id]
    assert lab.redis.hgetall(lab.keys.waiting) in ({}, {b"ann": b"0"})


def test_an_envelope_is_never_read_by_the_script(lab, waiting):
    envelope = b'{"payload":{"n":123456789012345678901234567890}}'
    store(lab, replacing(envelope=envelope))
    assert msgspec.Raw(lab.record(waiting)["envelope"].encode()) == msgspec.Raw(envelope)
