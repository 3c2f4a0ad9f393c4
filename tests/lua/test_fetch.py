"""fetch: who is given which jobs, with which token, also when a reply was lost or a job was just delivered."""

from collections import Counter

import pytest
from gopher.worker.queue_side.priority_cycle import PriorityCycle

from gopher.queue.arguments import Completion
from tests.lua.lab import CYCLE, failure


def by_id(jobs):
    return sorted(jobs, key=lambda job: job.id)


def test_a_worker_without_a_lease_is_given_nothing(lab):
    lab.enqueue()
    first, again = lab.run_twice(lab.fetch_call())
    assert (first.lost, again.lost) == (True, True)


def test_a_job_is_given_with_all_that_it_takes_to_run_it(lab):
    job_id = lab.enqueue(priority="high", envelope=b'{"payload":{"n":9007199254740993,"list":[]}}')
    lab.hire()
    lab.pass_time(3)
    fetched = lab.run(lab.fetch_call())
    (job,) = fetched.jobs
    assert (fetched.now, fetched.more) == (lab.now, False)
    assert (job.id, job.token, job.type, job.priority) == (job_id, "w1.1", "email", "high")
    assert (job.attempt, job.crashes, job.lost, job.parents) == (1, (), 0, {})
    assert job.envelope == b'{"payload":{"n":9007199254740993,"list":[]}}'
    record = lab.record(job_id)
    assert (record["state"], record["token"], record["attempts"]) == ("processing", "w1.1", "1")
    assert record["started"] == str(lab.now)
    assert lab.standing("processing:w1") == [job_id]
    assert lab.totals()["dequeued:email:high"] == 1
    assert lab.redis.hget(lab.keys.latencies("email"), "wait:sum_us") == b"3000000"


def test_every_job_comes_with_its_own_texts_whatever_is_in_them(lab):
    texts = [b'{"payload":"\xc3\xbc"}', b"", b"\xff\x00\r\n", b"1" * 70_000]
    parents = [lab.enqueue(envelope=text) for text in texts]
    lab.hire()
    fetched = lab.fetch(want=4)
    assert [job.envelope for job in fetched] == texts
    results = [b"", '"ü"'.encode(), b"2" * 300, b"3"]
    for job, result in zip(fetched, results, strict=True):
        lab.complete(job, result=result)
    lab.enqueue(envelope=b"plain"), lab.enqueue(envelope=b"child", after=tuple(parents))
    plain, child = lab.fetch(want=2)
    assert (plain.envelope, plain.parents) == (b"plain", {})
    assert (child.envelope, child.parents) == (b"child", dict(zip(parents, results, strict=True)))


def test_the_next_token_is_above_all_that_were_issued(lab):
    """Also when what a lost reply has brought comes again, with more."""
    lab.hire()
    lab.seed_pending(3)
    assert lab.run(lab.queue.fetch("w1", 2, 7, "hnl", strict=True)).next_number == 9
    assert lab.run(lab.queue.fetch("w1", 2, 7, "hnl", strict=True)).next_number == 9
    again = lab.run(lab.queue.fetch("w1", 3, 7, "hnl", strict=True))
    assert (sorted(job.token for job in again.jobs), again.next_number) == (["w1.7", "w1.8", "w1.9"], 10)
    assert lab.run(lab.queue.fetch("w1", 2, 10, "hnl", strict=True)).next_number == 10


@pytest.mark.parametrize("want", [5, 64])
def test_children_released_by_a_late_job_get_their_turns_and_nothing_is_left_in_the_workers_list(lab, want):
    lab.hire()
    lab.enqueue()
    parent = lab.enqueue(expires="+10")
    waiting = lab.seed_pending(90)
    lab.seed_pending(60, priority="high", after=(parent,), on_parent_failure="run")
    lab.pass_time(1)
    given = lab.fetch(want=want, order="nnhlnnhl", strict=False)
    given += lab.fetch(want=4, order="nhlnnhln", strict=False)
    ids = [job.id for job in given]
    assert len(ids) == want + 4
    assert "high" in {job.priority for job in given}
    assert sorted(lab.standing("processing:w1")) == sorted(ids)
    left = [*lab.standing("next"), *lab.standing("pending:normal")]
    assert [each for each in left if each in waiting] == [each for each in waiting if each not in ids]


def test_an_empty_queue_gives_nothing_and_changes_nothing(lab):
    lab.hire()
    before = lab.everything()
    assert lab.run(lab.fetch_call(want=5)).jobs == []
    assert lab.everything() == before


def test_it_takes_the_oldest_first_and_fills_next_again(lab):
    ids = lab.seed_pending(5)
    lab.hire()
    assert [job.id for job in lab.fetch(want=3)] == ids[:3]
    assert lab.standing("next") == [ids[3]]
    assert lab.standing("pending:normal") == [ids[4]]


def test_it_says_whether_more_is_waiting(lab):
    lab.seed_pending(2)
    lab.hire()
    assert lab.run(lab.fetch_call(want=1)).more
    assert not lab.run(lab.fetch_call(want=2)).more


def test_a_want_of_nothing_only_fills_next(lab):
    lab.enqueue()
    lab.hire()
    assert lab.fetch(want=0) == []
    assert len(lab.standing("next")) == 1


def test_two_workers_never_get_the_same_job(lab):
    ids = lab.seed_pending(10)
    for worker in ("w1", "w2"):
        lab.hire(worker)
    given = [job.id for turn in range(6) for job in lab.fetch(("w1", "w2")[turn % 2], want=2)]
    assert sorted(given) == sorted(ids)


def test_a_paused_queue_gives_nothing(lab):
    lab.enqueue()
    lab.hire()
    lab.run(lab.queue.pause())
    fetched = lab.run(lab.fetch_call())
    assert (fetched.jobs, fetched.more) == ([], False)


# Delivered jobs and lost replies


def test_a_job_that_was_delivered_by_the_blocking_pop_is_started(lab):
    ids = lab.seed_pending(3)
    lab.hire()
    assert lab.hand_over() == ids[0]
    assert lab.state(ids[0]) == "pending"
    (job,) = lab.fetch()
    assert (job.id, job.token) == (ids[0], "w1.1")
    assert lab.standing("next") == [ids[1]]


def test_a_delivered_job_starts_although_the_queue_has_been_paused_since(lab):
    job_id = lab.enqueue()
    lab.hire()
    lab.hand_over()
    lab.run(lab.queue.pause())
    assert [job.id for job in lab.fetch()] == [job_id]


def test_the_same_call_again_brings_the_same_jobs_with_the_same_tokens(lab):
    lab.seed_pending(3)
    lab.hire()
    first, again = lab.run_twice(lab.fetch_call(want=3))
    assert len(first.jobs) == 3
    assert again.jobs == first.jobs


def test_a_blocking_pop_before_a_lost_reply_is_asked_for_again_hides_nothing(lab):
    first, second, third = lab.seed_pending(3)
    lab.hire()
    behind = lab.queue.fetch("w1", 1, 1, "hnl", strict=True, behind_pop=True)
    call = lab.fetch_call(want=1)
    assert [job.id for job in lab.run(call).jobs] == [first]
    lab.hand_over()
    assert [(job.id, job.token) for job in lab.run(behind).jobs] == [(second, "w1.b1")]
    assert [(job.id, job.token) for job in lab.run(call).jobs] == [(first, "w1.1")]
    assert [(job.id, job.token) for job in lab.run(lab.queue.fetch("w1", 9, 2, "hnl", strict=True)).jobs] == [
        (third, "w1.2")
    ]


def test_a_job_of_a_lost_blocking_pop_comes_when_its_number_is_named(lab):
    (job_id,) = lab.seed_pending(1)
    lab.hire()
    lab.hand_over()
    lab.run(lab.queue.fetch("w1", 1, 7, "hnl", strict=True, behind_pop=True))
    assert lab.fetch(want=5) == []
    named = lab.queue.fetch("w1", 5, 1, "hnl", strict=True, lost_pops=[3, 7])
    assert [(job.id, job.token, job.attempt) for job in lab.run(named).jobs] == [(job_id, "w1.b7", 1)]


def test_a_blocking_pop_leaves_alone_what_other_fetches_have_started(lab):
    lab.seed_pending(1)
    lab.hire()
    lab.run(lab.fetch_call(want=1))
    assert lab.run(lab.queue.fetch("w1", 1, 1, "hnl", strict=True, behind_pop=True)).jobs == []


def test_what_came_before_an_attempt_is_told_to_those_that_ask(lab):
    job_id = lab.enqueue()
    lab.hire()
    (job,) = lab.fetch()
    assert job.prelude == ""
    lab.run(lab.queue.retry("w1", failure(job), 1.0))
    lab.pass_time(1)
    lab.run(lab.queue.promote())
    lab.pass_time(2)
    (again,) = lab.run(lab.queue.fetch("w1", 1, 2, "hnl", strict=True, with_prelude=True)).jobs
    assert (again.id, again.attempt) == (job_id, 2)
    assert again.prelude == (job.token, 2000)


def test_a_repeat_may_bring_more_but_never_other_tokens(lab):
    ids = lab.seed_pending(2)
    lab.hire()
    call = lab.fetch_call(want=4)
    first = {job.id: job.token for job in lab.run(call).jobs}
    later = lab.enqueue()
    again = {job.id: job.token for job in lab.run(call).jobs}
    assert again == {**first, later: "w1.3"}
    assert set(first) == set(ids)


def test_a_job_that_was_delivered_after_a_lost_reply_gets_a_token_too(lab):
    first, second = lab.seed_pending(2)
    lab.hire()
    call = lab.fetch_call(want=1)
    lab.run(call)
    lab.hand_over()
    tokens = {job.id: job.token for job in lab.run(lab.fetch_call(want=5)).jobs}
    assert set(tokens) == {first, second}
    for job_id, token in tokens.items():
        assert lab.record(job_id)["token"] == token


def test_what_the_worker_knows_of_is_not_given_again(lab):
    lab.seed_pending(2)
    lab.hire()
    (first,) = lab.fetch()
    (second,) = lab.fetch(want=5)
    assert first.id != second.id
    assert second.token == "w1.2"
    assert lab.fetch(want=5) == []


def test_a_delivered_job_that_was_cancelled_is_skipped(lab):
    first, second = lab.seed_pending(2)
    lab.hire()
    lab.hand_over()
    assert lab.run(lab.queue.cancel(first)) == "CANCELLED"
    assert [job.id for job in lab.fetch()] == [second]
    assert lab.standing("processing:w1") == [second]
    assert not any(lab.tombstones().values())


# What must not run


def test_a_job_that_is_too_late_expires(lab):
    late, good = lab.enqueue(expires="+2000", unique_key="k"), lab.enqueue(expires="+3000")
    lab.hire()
    lab.pass_time(2)
    assert [job.id for job in lab.fetch()] == [good]
    record = lab.record(late)
    assert (record["state"], record["finished"]) == ("expired", str(lab.now))
    assert lab.standing("finished") == [late]
    assert lab.totals()["expired:email"] == 1
    assert 3_590_000 < lab.redis.pttl(lab.keys.job(late)) <= 3_600_000


def test_the_time_after_which_no_attempt_starts_comes_with_each_attempt(lab):
    for options in ({}, {"expires": "+9000"}):
        lab.enqueue(give_up="+5000", **options)
        lab.enqueue(**options)
        lab.hire()
        over = lab.now + 5000
        late, other = lab.fetch(want=2)
        assert (late.give_up, late.attempt, other.give_up) == (over, 1, 0)
        lab.pass_time(1)
        for job in (late, other):
            lab.run(lab.queue.requeue("w1", job.id, job.token))
        again, other = sorted(lab.fetch(want=2), key=lambda job: job.id != late.id)
        assert (again.give_up, other.give_up) == (over, 0)
        lab.redis.hset(lab.keys.job(again.id), "give_up", "nonsense")
        lab.run(lab.queue.requeue("w1", again.id, again.token))
        (again,) = lab.fetch()
        assert again.give_up == 0
        for job in (again, other):
            lab.complete(job)


def test_a_delivered_job_that_is_too_late_expires_too(lab):
    late = lab.enqueue(expires="+2000", retention=0)
    lab.hire()
    lab.hand_over()
    lab.pass_time(2)
    assert lab.fetch() == []
    assert lab.state(late) is None
    assert lab.standing("processing:w1") == []


def test_the_end_of_an_expired_job_lets_its_children_go(lab):
    late = lab.enqueue(expires="+2000")
    child = lab.enqueue(after=(late,), on_parent_failure="run")
    lab.hire()
    lab.pass_time(2)
    assert [job.id for job in lab.fetch(want=1)] == [child]


def test_children_that_are_let_go_to_a_priority_that_was_empty_are_found(lab):
    late = [lab.enqueue(priority="low", expires="+2000") for _ in range(2)]
    child = lab.enqueue(after=(late[1],), on_parent_failure="run")
    lab.hire()
    lab.pass_time(2)
    assert [job.id for job in lab.fetch(want=2)] == [child]


def test_ids_of_cancelled_jobs_in_a_long_list_are_skipped(lab):
    ids = lab.seed_pending(1010)
    for job_id in ids[1:6]:
        lab.run(lab.queue.cancel(job_id))
    assert lab.tombstones() == {"normal": 5}
    lab.hire()
    assert [job.id for job in lab.fetch(want=3)] == [ids[0], *ids[6:8]]
    assert lab.tombstones() == {"normal": 0}


def test_it_passes_over_a_thousand_in_one_call_and_says_that_there_is_more(lab):
    ids = lab.seed_pending(3300)
    for job_id in reversed(ids[1:2200]):
        lab.run(lab.queue.cancel(job_id))
    assert lab.tombstones() == {"normal": 2199}
    # Cancelling the head fills `next` again: as far as one call goes.
    lab.run(lab.queue.cancel(ids[0]))
    assert (lab.tombstones(), lab.standing("next")) == ({"normal": 1199}, [])
    lab.hire()
    first = lab.run(lab.fetch_call())
    assert (first.jobs, first.more, lab.tombstones()) == ([], True, {"normal": 199})
    assert [job.id for job in lab.fetch()] == [ids[2200]]
    assert lab.tombstones() == {"normal": 0}


# Priorities


@pytest.fixture
def full(lab):
    for priority in ("high", "normal", "low"):
        lab.seed_pending(60, priority=priority)
    return lab


def take(lab, count, want, weights, worker="w1"):
    """Fetch as a worker does; return the letters of the priorities in the order that the jobs came."""
    turns, letters = PriorityCycle(weights), ""
    lab.hire(worker)
    while len(letters) < count:
        jobs = lab.fetch(worker, want, turns.order, strict=turns.strict)
        for job in jobs:
            turns.take(job.priority)
            letters += job.priority[0]
        lab.run(lab.queue.complete(worker, [Completion(job.id, job.token, 1.0, b"", b"") for job in jobs]))
    return letters[:count]


@pytest.mark.parametrize("want", [1, 2, 3, 4, 5, 7])
def test_with_all_priorities_waiting_shares_are_the_weights_in_any_window_of_nine(full, want):
    letters = take(full, 54, want, {"high": 5, "normal": 3, "low": 1})
    for start in range(len(letters) - 8):
        assert Counter(letters[start : start + 9]) == {"h": 5, "n": 3, "l": 1}, (start, letters)


def by_turns(cycle, waiting):
    """Return the letters of waiting jobs in the order of the turns, one after the other."""
    left, place, letters = Counter(waiting), 0, ""
    while left.total():
        if left[cycle[place]]:
            left[cycle[place]] -= 1
            letters += cycle[place]
        place = (place + 1) % len(cycle)
    return letters


@pytest.mark.parametrize("want", [1, 2, 5, 9, 64])
@pytest.mark.parametrize("waiting", [{"h": 7, "n": 20, "l": 3}, {"h": 2, "n": 1, "l": 30}, {"n": 9}, {"h": 9, "l": 9}])
def test_jobs_come_in_the_order_of_the_turns_though_priorities_run_out_and_jobs_were_cancelled(lab, waiting, want):
    lab.run(lab.queue.pause())
    for priority in ("high", "normal", "low"):
        ids = lab.seed_pending(2 * waiting.get(priority[0], 0), priority=priority)
        for job_id in ids[::2]:
            # As if the list were a long one: the id stays where it is.
            lab.redis.hset(lab.keys.job(job_id), "state", "cancelled")
            lab.redis.hincrby(lab.keys.tombstones, priority, 1)
    lab.run(lab.queue.resume())
    letters = take(lab, sum(waiting.values()), want, {"high": 5, "normal": 3, "low": 1})
    assert letters == by_turns(CYCLE, waiting)
    assert not any(lab.tombstones().values())
    lab.redis.flushdb()


def test_several_workers_give_each_cycle_its_shares(full):
    """What stands in `next` was chosen by another worker's turn, so only whole sums are exact, to one job each."""
    turns = {worker: PriorityCycle({"high": 5, "normal": 3, "low": 1}) for worker in ("w1", "w2", "w3")}
    seen = Counter()
    for worker in turns:
        full.hire(worker)
    for round_ in range(81):
        worker = f"w{round_ % 3 + 1}"
        (job,) = full.fetch(worker, 1, turns[worker].order, strict=False)
        turns[worker].take(job.priority)
        seen[job.priority] += 1
        full.complete(job, worker)
    assert abs(seen["high"] - 45) <= 3
    assert abs(seen["normal"] - 27) <= 3
    assert abs(seen["low"] - 9) <= 3


def test_a_strict_order_lets_lower_ones_go_only_when_nothing_higher_waits(full):
    assert take(full, 180, 7, "strict") == "h" * 60 + "n" * 60 + "l" * 60


def test_an_empty_priority_gives_its_turns_to_the_others(lab):
    lab.seed_pending(12, priority="high")
    lab.seed_pending(12, priority="low")
    assert Counter(take(lab, 12, 3, {"high": 5, "normal": 3, "low": 1})) == {"h": 10, "l": 2}


def test_the_low_one_is_served_within_a_cycle_however_many_high_ones_come(lab):
    low = lab.enqueue(priority="low")
    lab.seed_pending(50, priority="high")
    lab.hire()
    assert low in [job.id for job in lab.fetch(want=9, order=CYCLE, strict=False)]


def test_the_head_of_the_queue_counts_as_a_turn_of_its_priority(lab):
    for priority in ("low", "high", "normal"):
        lab.seed_pending(20, priority=priority)
    lab.hire()
    letters = "".join(job.priority[0] for job in lab.fetch(want=10, order=CYCLE, strict=False))
    # `next` held a low one: the cycle went on behind the turn of low.
    assert letters == "l" + "hnhnhhnhl"[:9]


# Limited types


def test_a_limited_type_starts_no_more_than_its_rate_and_others_pass_it(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 2.0, None))
    ids = lab.seed_pending(5)
    other = lab.enqueue("report")
    lab.hire()
    assert [job.id for job in lab.fetch(want=10)] == [*ids[:2], other]
    assert lab.standing("throttled:email:normal") == ids[2:]
    assert lab.scores("throttled") == {"email": lab.now + 1000}
    assert lab.alarm() == lab.now + 1000
    assert {lab.record(job_id)["parked"] for job_id in ids[2:]} == {"email"}
    lab.pass_time(1)
    assert [job.id for job in lab.fetch(want=10)] == [ids[2]]
    assert lab.standing("throttled:email:normal") == ids[3:]


def test_starts_in_any_window_are_within_burst_and_rate(lab):
    rate, burst = 4.0, 3.0
    lab.run(lab.queue.set_limit("email", rate, burst, None))
    lab.seed_pending(60)
    lab.hire()
    starts = []
    for _ in range(200):
        lab.run(lab.queue.heartbeat("w1", 60.0))
        starts += [lab.now] * len(lab.fetch(want=10))
        lab.pass_time(0.05)
    assert len(starts) >= rate * 10
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            seconds = (starts[last] - starts[first]) / 1000
            assert last - first + 1 <= burst + rate * seconds + 1e-9


def test_no_more_run_at_once_than_the_concurrency_allows(lab):
    lab.run(lab.queue.set_limit("email", None, None, 2))
    ids = lab.seed_pending(4)
    lab.hire()
    first, second = lab.fetch(want=10)
    assert lab.redis.scard(lab.keys.holding("email")) == 2
    assert lab.fetch(want=10) == []
    lab.complete(first)
    assert [job.id for job in lab.fetch(want=10)] == [ids[2]]
    lab.run(lab.queue.retry("w1", failure(second), 60.0))
    assert [job.id for job in lab.fetch(want=10)] == [ids[3]]


@pytest.mark.parametrize("limit", [(None, None, 1), (0.001, 1.0, None)])
def test_a_fresh_limit_key_does_not_void_the_types_limit(lab, limit):
    lab.run(lab.queue.set_limit("email", *limit))
    first, *others = [lab.enqueue(limit_key=f"k{number}") for number in range(5)]
    lab.enqueue()
    lab.hire()
    assert [job.id for job in lab.fetch(want=10)] == [first]
    assert lab.standing("throttled") == ["email"]
    assert lab.standing("throttled:email:normal")[:4] == others


def test_jobs_that_wait_with_their_key_go_on_to_wait_with_their_type_when_the_limit_is_one_for_all(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1, True))
    ids = [lab.enqueue(limit_key=key) for key in "aabbcc"]
    lab.hire()
    given = lab.fetch(want=10)
    assert [job.id for job in given] == ids[0::2]
    lab.run(lab.queue.set_limit("email", None, None, 1))
    # The running ones hold slots of their keys, not the type's.
    (second,) = lab.fetch(want=10)
    assert sorted([second.id, *lab.standing("throttled:email:normal")]) == sorted(ids[1::2])
    for job in (*given, second):
        lab.complete(job)
    for _ in ids[3::2]:
        lab.pass_time(1)
        lab.run(lab.queue.heartbeat("w1", 60.0))
        (job,) = lab.fetch(want=10)
        assert job.id in ids[1::2]
        lab.complete(job)
    assert lab.standing("throttled") == []


def test_jobs_that_wait_with_their_type_start_when_each_key_gets_a_limit(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    ids = [lab.enqueue(limit_key=key) for key in "aab"]
    lab.hire()
    (first,) = lab.fetch(want=10)
    keyless = lab.enqueue()
    assert lab.fetch(want=10) == []
    lab.run(lab.queue.set_limit("email", None, None, 1, True))
    # The first one holds the slot of the type, as it was when it started.
    assert [job.id for job in lab.fetch(want=10)] == [ids[1], ids[2]]
    assert lab.standing("throttled:email:normal") == [keyless]
    assert lab.standing("throttled") == ["email"]
    lab.run(lab.queue.set_limit("email", None, None, 1, True))
    assert lab.standing("throttled:email:normal") == [keyless]
    lab.complete(first)
    lab.run(lab.queue.promote())
    assert [job.id for job in lab.fetch(want=10)] == [keyless]


def test_jobs_of_all_priorities_start_when_each_key_gets_a_limit(lab):
    lab.run(lab.queue.pause("email"))
    ids = [lab.enqueue(limit_key=priority, priority=priority) for priority in ("high", "normal", "low")]
    lab.hire()
    assert lab.fetch(want=10) == []
    lab.run(lab.queue.set_limit("email", None, None, 1, True))
    lab.run(lab.queue.resume("email"))
    assert [job.id for job in lab.fetch(want=10)] == ids


def test_a_limit_key_has_a_bucket_of_its_own_where_the_limit_is_one_for_each_key(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1, True))
    a1, a2 = lab.enqueue(limit_key="a"), lab.enqueue(limit_key="a")
    b1 = lab.enqueue(limit_key="b")
    lab.hire()
    assert [job.id for job in lab.fetch(want=5)] == [a1, b1]
    assert lab.standing("throttled:email/a:normal") == [a2]
    lab.pass_time(1)
    assert lab.run(lab.queue.promote()).moved == 0
    lab.run(lab.queue.set_limit("email", None, None, None))
    assert lab.run(lab.queue.promote()).moved == 1
    assert not lab.redis.exists(lab.keys.parked_jobs)


def test_throttled_jobs_keep_their_order_and_go_before_younger_ones(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None))
    ids = lab.seed_pending(6)
    lab.hire()
    given = [job.id for job in lab.fetch(want=10)]
    while len(given) < 6:
        lab.pass_time(1)
        lab.run(lab.queue.heartbeat("w1", 60.0))
        given += [job.id for job in lab.fetch(want=10)]
    assert given == ids


def test_a_new_job_does_not_overtake_throttled_ones_of_its_bucket(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 1.0, None))
    first, second = lab.seed_pending(2)
    lab.hire()
    assert [job.id for job in lab.fetch(want=5)] == [first]
    lab.pass_time(1)
    # Nobody has looked at the bucket yet, and it has a token again.
    lab.redis.zadd(lab.keys.throttled, {"email": lab.now + 60_000})
    younger = lab.enqueue()
    assert lab.fetch(want=5) == []
    assert lab.standing("throttled:email:normal") == [second, younger]


def test_a_paused_type_is_throttled_and_continues_when_it_is_resumed(lab):
    lab.run(lab.queue.pause("email"))
    ids = lab.seed_pending(2)
    lab.hire()
    assert lab.fetch(want=5) == []
    lab.run(lab.queue.resume("email"))
    assert [job.id for job in lab.fetch(want=5)] == ids


def test_a_repeat_takes_no_second_token_of_the_bucket(lab):
    lab.run(lab.queue.set_limit("email", 1.0, 5.0, 5))
    lab.seed_pending(3)
    lab.hire()
    first, again = lab.run_twice(lab.fetch_call(want=3))
    assert again.jobs == first.jobs
    assert lab.redis.hget(lab.keys.bucket("email"), "tokens") == b"2"


def test_jobs_of_one_fetch_are_counted_by_type_priority_and_wait(lab):
    lab.enqueue(priority="high"), lab.enqueue()
    lab.pass_time(10)
    lab.enqueue(), lab.enqueue("report")
    lab.pass_time(1)
    lab.hire()
    assert len(lab.fetch(want=10)) == 4
    dequeued = {name: count for name, count in lab.totals().items() if name.startswith("dequeued")}
    assert dequeued == {"dequeued:email:high": 1, "dequeued:email:normal": 2, "dequeued:report:normal": 1}
    waited = {name: lab.everything()[f"latencies:{name}"][b"wait:sum_us"] for name in ("email", "report")}
    assert waited == {"email": b"23000000", "report": b"1000000"}


def test_a_job_that_was_throttled_is_an_ordinary_one_once_it_starts(lab):
    lab.run(lab.queue.pause("email"))
    job_id = lab.enqueue()
    lab.hire()
    assert lab.fetch() == []
    lab.run(lab.queue.resume("email"))
    assert [job.id for job in lab.fetch()] == [job_id]
    assert "parked" not in lab.record(job_id)


def test_a_job_without_a_record_in_next_is_passed_over(lab):
    gone, job_id = lab.enqueue(), lab.enqueue()
    lab.redis.delete(lab.keys.job(gone))
    lab.hire()
    assert [job.id for job in lab.fetch()] == [job_id]
    assert lab.standing("processing:w1") == [job_id]
    lab.redis.hincrby(lab.keys.totals, "purged", 1)


def test_a_job_that_is_delivered_again_uses_up_a_place_of_its_priority(lab):
    high = lab.seed_pending(3, priority="high")
    normal = lab.enqueue()
    lab.hire()
    lost = lab.queue.fetch("w1", 1, 1, "hhn", strict=False)
    assert [job.id for job in lab.run(lost).jobs] == high[:1]
    again = lab.queue.fetch("w1", 3, 1, "hhn", strict=False)
    assert [job.id for job in lab.run(again).jobs] == [*high[:2], normal]


def test_a_first_attempt_with_options_reports_how_long_it_has_waited(lab):
    lab.enqueue(expires="+9000")
    lab.pass_time(2)
    lab.hire()
    (job,) = lab.run(lab.queue.fetch("w1", 1, 1, "hnl", strict=True, with_prelude=True)).jobs
    assert job.prelude == ("", 2000)


def test_one_fetch_throttles_a_bounded_number_of_jobs(lab):
    lab.run(lab.queue.pause("email"))
    lab.seed_pending(300)
    lab.hire()
    assert lab.fetch() == []
    assert 0 < len(lab.standing("throttled:email:normal")) <= 101


def test_a_type_without_a_limit_is_not_throttled_behind_what_was(lab):
    lab.run(lab.queue.pause("email"))
    lab.seed_pending(150)
    lab.hire()
    assert [lab.fetch() for _ in range(2)] == [[], []]
    assert len(lab.standing("throttled:email:normal")) == 150
    lab.run(lab.queue.resume("email"))
    last = lab.enqueue()
    assert last in [job.id for job in lab.fetch(want=120)]


def test_a_forgotten_bucket_is_checked_once_another_job_is_throttled(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    lab.seed_pending(2)
    lab.hire()
    lab.fetch(want=2)
    lab.redis.delete(lab.keys.throttled)
    lab.enqueue()
    assert lab.fetch() == []
    assert lab.scores("throttled") == {"email": lab.now + 1000}


def test_a_fetch_behind_a_blocking_pop_that_has_waited_in_vain_costs_four_commands(lab):
    """Those of an idle worker's poll. Only such fetches ask first whether there is anything at all."""

    def fetch(*, behind_pop):
        """Return the jobs, which are completed at once, and how often each command was used to fetch them."""
        lab.redis.config_resetstat()
        jobs = lab.run(lab.queue.fetch("w1", 1, 1, "hnl", strict=True, behind_pop=behind_pop)).jobs
        stats = lab.redis.info("commandstats")
        lab.run(lab.queue.complete("w1", [Completion(job.id, job.token, 1.0, b"", b"") for job in jobs]))
        # Redis 6.2 counts what has reset the figures; later ones count subcommands apart.
        counts = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items() if "|" not in name}
        counts.pop("config", None)
        return jobs, counts

    lab.hire()
    # The server knows the script from then on.
    fetch(behind_pop=True)
    # The clock of these tests is a key.
    assert fetch(behind_pop=True) == ([], {"evalsha": 1, "get": 1, "lrange": 1, "exists": 1, "zscore": 1})
    asked = []
    for behind_pop in (True, False):
        lab.seed_pending(1)
        jobs, used = fetch(behind_pop=behind_pop)
        assert len(jobs) == 1
        asked.append(used["exists"])
    assert asked[0] == asked[1] + 1
    lab.seed_pending(1)
    lab.hand_over()
    jobs, used = fetch(behind_pop=True)
    assert len(jobs) == 1
    # The general way reads the list job by job.
    assert "lindex" not in used


def test_of_two_jobs_that_were_delivered_by_blocking_pops_the_older_one_starts_first(lab):
    lab.hire()
    ids = []
    for _ in range(2):
        ids += lab.seed_pending(1)
        lab.hand_over()
    for number, job_id in enumerate(ids, 1):
        behind = lab.queue.fetch("w1", 1, number, "hnl", strict=True, behind_pop=True)
        assert [job.id for job in lab.run(behind).jobs] == [job_id]


# Jobs of one priority only


def _fetch_only(lab, want=1, number=1):
    return lab.run(lab.queue.fetch("w1", want, number, "hnl", strict=False, only="h"))


def test_a_fetch_for_one_priority_leaves_all_others_where_they_are(lab):
    lab.hire()
    lab.seed_pending(2, priority="normal")
    before = lab.everything()
    fetched = _fetch_only(lab)
    assert (fetched.jobs, fetched.more) == ([], True)
    assert lab.everything() == before


def test_it_says_whether_next_is_free(lab):
    lab.hire()
    assert _fetch_only(lab).more is False
    (urgent,) = lab.seed_pending(1, priority="high")
    fetched = _fetch_only(lab, want=2)
    assert [job.id for job in fetched.jobs] == [urgent]
    assert fetched.more is False


def test_it_takes_those_of_its_priority_and_lets_next_be_filled_with_another(lab):
    lab.hire()
    urgent = lab.seed_pending(1, priority="high")
    others = lab.seed_pending(2, priority="low")
    urgent += lab.seed_pending(2, priority="high")
    fetched = _fetch_only(lab, want=2)
    assert [job.id for job in fetched.jobs] == urgent[:2]
    fetched = _fetch_only(lab, want=2, number=fetched.next_number)
    assert [job.id for job in fetched.jobs] == urgent[2:]
    assert fetched.more is True
    assert lab.redis.lrange(lab.keys.next, 0, -1) == [others[0].encode()]


def test_it_takes_tenants_in_turn_and_respects_a_pause(lab):
    lab.hire()
    lab.enqueue(priority="low")
    one, other = (lab.enqueue(priority="high", tenant=tenant) for tenant in ("a", "b"))
    lab.run(lab.queue.pause())
    assert _fetch_only(lab, want=3).jobs == []
    lab.run(lab.queue.resume())
    assert {job.id for job in _fetch_only(lab, want=3).jobs} == {one, other}
