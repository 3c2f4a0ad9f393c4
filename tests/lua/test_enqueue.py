"""enqueue: new jobs are stored and placed, all or none, and no repeat stores one twice."""

import pytest

from gopher.jobs.job import new_job_id
from gopher.queue.arguments import Request
from tests.lua.lab import failure, new_job

DAY = 86_400_000


def test_the_first_job_goes_to_next_the_others_wait_behind_it(lab):
    first, second, third = (lab.enqueue() for _ in range(3))
    assert lab.standing("next") == [first]
    assert lab.standing("pending:normal") == [second, third]
    assert lab.record(first) == {
        "type": "email",
        "priority": "normal",
        "state": "pending",
        "since": str(lab.now),
        "envelope": '{"payload":{}}',
        "plain": "1",
    }


RARE = {
    "expires": {"expires": "+7000"},
    "give_up": {"give_up": "+9000"},
    "retention": {"retention": 5},
    "unique": {"unique_key": "k"},
    "bucket": {"limit_key": "tenant"},
}


@pytest.mark.parametrize("field", RARE)
def test_a_job_with_rare_fields_is_not_marked_as_plain(lab, field):
    record = lab.record(lab.enqueue(**RARE[field]))
    assert field in record
    assert "plain" not in record


def test_a_delayed_job_is_plain(lab):
    assert lab.record(lab.enqueue(due="+5000"))["plain"] == "1"


def test_a_batch_keeps_its_order_and_answers_for_each(lab):
    jobs = [new_job(priority=priority) for priority in ("low", "high", "high", "normal")]
    reply = lab.run(lab.queue.enqueue(jobs))
    assert (reply.kind, reply.detail, reply.answers) == ("OK", "", ["NEW"] * 4)
    assert lab.standing("next") == [jobs[1].id]
    assert [lab.standing(f"pending:{name}") for name in ("high", "normal", "low")] == [
        [jobs[2].id],
        [jobs[3].id],
        [jobs[0].id],
    ]
    assert lab.totals() == {"enqueued:email:high": 2, "enqueued:email:normal": 1, "enqueued:email:low": 1}


def test_a_repeat_stores_nothing_twice(lab):
    jobs = [new_job(), new_job(due="+1000")]
    first, again = lab.run_twice(lab.queue.enqueue(jobs))
    assert (first.answers, again.answers) == (["NEW", "NEW"], ["DUPLICATE", "DUPLICATE"])


def test_jobs_that_come_together_have_the_records_of_those_that_come_alone(lab):
    options = [{"priority": "high"}, {"due": "+1000"}, {"retention": 5.0}, {"job_type": "sms"}, {}]
    jobs = [new_job(envelope=b'{"payload":{"n":%d}}' % n, **options[n % 5]) for n in range(15)]
    for job in jobs:
        lab.run(lab.queue.enqueue([job]))
    alone = [lab.record(job.id) for job in jobs]
    lab.redis.delete(*map(lab.keys.job, (job.id for job in jobs)), lab.keys.totals)
    for place in ("next", "scheduled", "pending:high", "pending:normal", "pending:low"):
        lab.redis.delete(lab.keys.prefix + place)
    assert lab.run_twice(lab.queue.enqueue(jobs))[0].answers == ["NEW"] * 15
    assert [lab.record(job.id) for job in jobs] == alone
    places = {"next", "scheduled", "pending:high", "pending:normal", "totals", "alarm", "clock"}
    assert set(lab.everything()) == places | {f"job:{job.id}" for job in jobs}


@pytest.mark.parametrize("known", [0, 1, 2])
def test_one_of_a_batch_that_is_there_already_stays_as_it_is(lab, known):
    jobs = [new_job(envelope=b'{"payload":{"n":%d}}' % n) for n in range(4)]
    lab.run(lab.queue.enqueue([jobs[known]]))
    lab.pass_time(5)
    before = lab.record(jobs[known].id)
    answers = ["NEW"] * 4
    answers[known] = "DUPLICATE"
    assert lab.run_twice(lab.queue.enqueue(jobs))[0].answers == answers
    assert lab.record(jobs[known].id) == before
    assert {lab.record(job.id)["since"] for job in jobs if job is not jobs[known]} == {str(lab.now)}
    assert lab.totals() == {"enqueued:email:normal": 4}


def test_what_a_failed_call_has_left_gets_into_no_record(lab):
    left = lab.keys.prefix + "new:pending:normal:email"
    lab.redis.hset(left, mapping={"type": "email", "state": "pending", "result": "7"})
    jobs = [new_job() for _ in range(3)]
    lab.run(lab.queue.enqueue(jobs))
    assert lab.record(jobs[2].id) == lab.record(jobs[0].id)
    assert not lab.redis.exists(left)


def test_a_large_batch_keeps_its_order_and_its_answers(lab):
    jobs = [new_job() for _ in range(2_500)]
    lab.run(lab.queue.enqueue([jobs[1_700]]))
    answers = lab.run(lab.queue.enqueue(jobs)).answers
    assert [index for index, answer in enumerate(answers) if answer != "NEW"] == [1_700]
    ids = [job.id for job in jobs if job is not jobs[1_700]]
    assert lab.standing("next") + lab.standing("pending:normal") == [jobs[1_700].id, *ids]


def nothing_waits(lab):
    pass


def others_wait(lab):
    lab.seed_pending(2)


def next_was_just_taken(lab):
    lab.seed_pending(3, priority="low")
    lab.hire()
    lab.hand_over()


def the_queue_is_paused(lab):
    lab.run(lab.queue.pause())


def the_queue_is_paused_and_others_wait(lab):
    lab.seed_pending(2, priority="high")
    lab.run(lab.queue.pause())


@pytest.mark.parametrize(
    "how_things_are",
    [nothing_waits, others_wait, next_was_just_taken, the_queue_is_paused, the_queue_is_paused_and_others_wait],
)
def test_a_plain_job_alone_is_stored_as_in_a_batch(lab, how_things_are):
    """One alone goes a short way through the script; with an idempotency key it does not."""
    how_things_are(lab)
    before, job = lab.dump(), new_job()
    short, _ = lab.run_twice(lab.queue.enqueue([job]))
    stored = lab.everything()
    lab.put_back(before)
    assert lab.run(lab.queue.enqueue([job], Request("key", "digest", "1800"))) == short
    lab.redis.delete(lab.keys.idempotency("key"))
    assert lab.everything() == stored


def test_a_plain_job_goes_behind_those_that_wait_also_when_next_was_just_taken(lab):
    ids = lab.seed_pending(3)
    lab.hire()
    assert lab.hand_over() == ids[0]
    last = lab.enqueue()
    assert lab.standing("next") == [ids[1]]
    assert lab.standing("pending:normal") == [ids[2], last]


def test_plain_and_special_jobs_of_a_batch_keep_their_order(lab):
    jobs = [new_job(), new_job(retention=60.0), new_job(), new_job(limit_key="tenant"), new_job()]
    assert lab.run_twice(lab.queue.enqueue(jobs))[0].answers == ["NEW"] * 5
    assert lab.standing("next") + lab.standing("pending:normal") == [job.id for job in jobs]
    assert [lab.record(job.id).get("retention") for job in jobs] == [None, "60000", None, None, None]
    assert [lab.record(job.id).get("bucket") for job in jobs] == [None, None, None, "email/tenant", None]


def test_jobs_of_a_call_wait_in_the_lists_of_their_tenants_in_order(lab):
    lab.enqueue()
    first = new_job(tenant="a")
    lab.run(lab.queue.enqueue([first]))
    tenants = ["b", "a", "b", "", "b", "c"]
    jobs = [new_job("sms" if tenant == "b" else "email", tenant=tenant) for tenant in tenants]
    special = new_job("sms", tenant="c", retention=60.0)
    reply = lab.run_twice(lab.queue.enqueue([first, *jobs, special]))[0]
    assert reply.answers == ["DUPLICATE", *["NEW"] * 7]
    waiting = {tenant: [job.id for job in jobs if job.tenant == tenant] for tenant in tenants}
    assert lab.standing("pending_of:normal:a") == [first.id, *waiting["a"]]
    assert lab.standing("pending_of:normal:b") == waiting["b"]
    assert lab.standing("pending_of:normal:c") == [*waiting["c"], special.id]
    assert lab.standing("pending:normal") == waiting[""]
    assert [lab.record(job.id).get("tenant", "") for job in (*jobs, special)] == [*tenants, "c"]
    assert lab.redis.hget(lab.keys.tenant_ids, "normal") == b"7"
    assert sorted(lab.redis.lrange(lab.keys.ring("normal"), 0, -1)) == [b"", b"a", b"b", b"c"]
    assert lab.totals() == {"enqueued:email:normal": 5, "enqueued:sms:normal": 4}


def test_all_options_of_a_job_are_distinguished(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(
        due=f"{lab.now + 1000}",
        expires="+2000",
        retention=3.0,
        unique_key="u:=;|\t",
        unique_for=4.0,
        limit_key="l:=;|",
        after=(parent.id,),
        on_parent_failure="run",
    )
    record = lab.record(child)
    assert (record["due"], record["expires"]) == (str(lab.now + 1000), str(lab.now + 2000))
    assert (record["retention"], record["unique"], record["bucket"]) == ("3000", "u:=;|\t", "email/l:=;|")
    assert (record["parents"], record["on_parent_failure"]) == (parent.id, "run")
    assert 0 < lab.redis.pttl(lab.keys.prefix + "unique:u:=;|\t") <= 4000


@pytest.mark.parametrize("step", ["processing", "retrying", "failed", "completed"])
def test_a_late_repeat_does_not_bring_a_job_back(lab, step):
    job = new_job()
    lab.run(lab.queue.enqueue([job]))
    lab.hire()
    (given,) = lab.fetch()
    if step == "completed":
        lab.complete(given)
    elif step != "processing":
        failed = ("w1", failure(given))
        lab.run(lab.queue.retry(*failed, 60) if step == "retrying" else lab.queue.dead_letter(*failed, "ValueError"))
    assert lab.run_twice(lab.queue.enqueue([job]))[0].answers == ["DUPLICATE"]
    assert lab.state(job.id) == step


def test_the_same_id_twice_in_one_batch_is_one_job(lab):
    job = new_job()
    assert lab.run(lab.queue.enqueue([job, job])).answers == ["NEW", "DUPLICATE"]
    assert lab.standing("next") == [job.id]
    assert lab.standing("pending:normal") == []


def test_a_job_that_is_not_due_is_scheduled_and_wakes_the_scheduler_if_it_is_the_earliest(lab):
    later = lab.enqueue(due=str(lab.now + 9000))
    assert lab.alarm() == lab.now + 9000
    lab.redis.delete(lab.keys.alarm)
    lab.enqueue(due="+10000")
    assert lab.alarm() is None
    sooner = lab.enqueue(due="+5000")
    assert lab.alarm() == lab.now + 5000
    assert lab.scores("scheduled")[sooner] == lab.now + 5000
    assert lab.record(later)["due"] == str(lab.now + 9000)
    assert lab.state(later) == "scheduled"


def test_an_alarm_is_one_due_time_however_many_come_in(lab):
    for seconds in (9, 8, 7):
        lab.enqueue(due=f"+{seconds}000")
    assert lab.redis.lrange(lab.keys.alarm, 0, -1) == [str(lab.now + 7000).encode()]


def test_a_time_that_has_passed_is_now(lab):
    job_id = lab.enqueue(due=str(lab.now - 1))
    assert lab.standing("next") == [job_id]


def test_times_from_now_are_by_the_servers_clock(lab):
    job_id = lab.enqueue(expires="+3000")
    assert lab.record(job_id)["expires"] == str(lab.now + 3000)
    assert lab.record(lab.enqueue(expires=str(lab.now + 1)))["expires"] == str(lab.now + 1)


def test_a_retention_is_kept_in_milliseconds(lab):
    assert lab.record(lab.enqueue(retention=1.5))["retention"] == "1500"
    assert lab.record(lab.enqueue(retention=0))["retention"] == "0"


def test_a_paused_queue_takes_jobs_and_hands_out_none(lab):
    lab.run(lab.queue.pause())
    job_id = lab.enqueue()
    assert lab.standing("next") == []
    assert lab.standing("pending:normal") == [job_id]


# Unique keys


def test_a_unique_key_is_held_while_its_job_waits_or_runs(lab):
    holder = lab.enqueue(unique_key="k")
    pending = f"{holder} pending normal"
    assert lab.run_twice(lab.queue.enqueue([new_job(unique_key="k", priority="high")]))[0].answers == [pending]
    lab.hire()
    (job,) = lab.fetch()
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == [f"{holder} processing normal"]
    lab.complete(job)
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == ["NEW"]


def test_a_repeat_is_recognized_even_if_another_job_has_its_unique_key(lab):
    first, second = (lab.queue.enqueue([new_job(unique_key="k")]) for _ in range(2))
    assert [reply.answers for reply in lab.run_twice(first)] == [["NEW"], ["DUPLICATE"]]
    lab.hire()
    lab.complete(lab.fetch()[0])
    assert lab.run(second).answers == ["NEW"]
    assert lab.run_twice(first)[0].answers == ["DUPLICATE"]


def test_a_unique_key_counts_only_for_its_time(lab):
    lab.enqueue(unique_key="k", unique_for=3600.0)
    assert 3_590_000 < lab.redis.pttl(lab.keys.prefix + "unique:k") <= 3_600_000
    lab.redis.delete(lab.keys.prefix + "unique:k")
    second = lab.enqueue(unique_key="k")
    # The end of the first one frees only what is its own.
    lab.hire()
    lab.complete(lab.fetch()[0])
    assert lab.redis.get(lab.keys.prefix + "unique:k") == second.encode()


def test_a_key_whose_job_is_gone_is_free(lab):
    holder = lab.enqueue(unique_key="k")
    lab.redis.delete(lab.keys.job(holder), lab.keys.next)
    lab.redis.hincrby(lab.keys.totals, "purged", 1)
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == ["NEW"]


def test_a_job_that_is_dead_on_arrival_holds_no_unique_key(lab):
    parent = lab.seed_failed()
    child = lab.enqueue(unique_key="k", after=(parent,))
    assert lab.state(child) == "failed"
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == ["NEW"]


@pytest.mark.parametrize("due", ["", "+1000"])
def test_a_job_that_is_too_late_to_start_holds_no_unique_key(lab, due):
    late = lab.enqueue(unique_key="k", expires="+2000", due=due)
    lab.pass_time(2)
    second = new_job(unique_key="k")
    assert lab.run(lab.queue.enqueue([second])).answers == ["NEW"]
    lab.hire()
    lab.fetch()
    assert lab.redis.get(lab.keys.prefix + "unique:k") == second.id.encode()
    assert lab.state(late) == ("scheduled" if due else "expired")


def test_a_job_that_started_in_time_holds_its_unique_key_on(lab):
    holder = lab.seed_processing(unique_key="k", expires="+2000")
    lab.pass_time(3)
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == [f"{holder.id} processing normal"]


def test_two_types_or_owners_with_one_unique_key_do_not_meet(lab):
    jobs = [
        new_job(job_type, unique_key="k", owner=owner) for job_type in ("email", "sms") for owner in ("", "ann", "bob")
    ]
    assert lab.run(lab.queue.enqueue(jobs)).answers == ["NEW"] * 6
    for job in jobs:
        second = new_job(job.type, unique_key="k", owner=job.owner)
        (answer,) = lab.run(lab.queue.enqueue([second])).answers
        assert answer.split()[0] == job.id


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"job_type": "email", "unique_key": "k", "owner": "x"}, {"job_type": "email", "unique_key": "k"}),
        ({"job_type": "a", "unique_key": "b", "owner": "c d"}, {"job_type": "a", "unique_key": "b", "owner": "c"}),
        ({"job_type": "a", "unique_key": "a", "owner": "b"}, {"job_type": "a", "unique_key": "a:b"}),
        ({"job_type": "a.b", "unique_key": "c"}, {"job_type": "a", "unique_key": "b.c"}),
    ],
)
def test_no_spelling_of_a_name_makes_two_unique_keys_one(lab, first, second):
    assert lab.run(lab.queue.enqueue([new_job(**first), new_job(**second)])).answers == ["NEW", "NEW"]


def old_form(lab, holder, key="k"):
    """Note a job's unique key as versions before did: the key alone, in the record and in the name of its key."""
    (name,) = lab.redis.scan_iter(match=lab.keys.prefix + "unique:*")
    lab.redis.rename(name, lab.keys.prefix + "unique:" + key)
    lab.redis.hset(lab.keys.job(holder), "unique", key)


def test_a_job_with_the_unique_key_of_a_version_before_counts_for_trusted_ones_of_its_type(lab):
    holder = lab.enqueue(unique_key="k")
    old_form(lab, holder)
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == [f"{holder} pending normal"]
    others = [new_job("sms", unique_key="k"), new_job(unique_key="k", owner="ann")]
    assert lab.run(lab.queue.enqueue(others)).answers == ["NEW", "NEW"]
    lab.hire()
    job = next(job for job in lab.fetch(want=3) if job.id == holder)
    lab.complete(job)
    assert not lab.redis.exists(lab.keys.prefix + "unique:k")
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == ["NEW"]


#: How the version before looked for the job that has a unique key.
HELD_BEFORE = """
local P = KEYS[1]
local holder = redis.call('GET', P .. 'unique:' .. ARGV[1])
return holder and redis.call('HGET', P .. 'job:' .. holder, 'state') and holder
"""


def test_the_version_before_finds_the_job_with_a_unique_key_of_this_one(lab):
    holder = lab.enqueue(unique_key="k")
    assert lab.redis.eval(HELD_BEFORE, 1, lab.keys.prefix, "k") == holder.encode()
    # It scopes them neither to types nor to owners.
    lab.run(lab.queue.enqueue([new_job("sms", unique_key="k"), new_job(unique_key="k", owner="ann")]))
    assert lab.redis.eval(HELD_BEFORE, 1, lab.keys.prefix, "k") == holder.encode()
    lab.run(lab.queue.cancel(holder))
    assert lab.redis.eval(HELD_BEFORE, 1, lab.keys.prefix, "k") is None


def test_a_unique_key_whose_job_of_another_type_is_gone_is_stored_as_in_the_version_before(lab):
    lab.redis.delete(lab.keys.job(lab.enqueue("sms", unique_key="k")), lab.keys.next)
    lab.redis.hincrby(lab.keys.totals, "purged", 1)
    holder = lab.enqueue(unique_key="k")
    assert lab.redis.eval(HELD_BEFORE, 1, lab.keys.prefix, "k") == holder.encode()


#: How the version before freed a unique key, whatever ended the job: by what stands in its record.
FREED_BEFORE = """
local P = KEYS[1]
local unique = redis.call('HGET', P .. 'job:' .. ARGV[1], 'unique')
if unique and redis.call('GET', P .. 'unique:' .. unique) == ARGV[1] then
  return redis.call('DEL', P .. 'unique:' .. unique)
end
return 0
"""


@pytest.mark.parametrize("owner", ["", "ann", "ann lee"])
def test_a_worker_of_the_version_before_frees_a_unique_key_of_this_one(lab, owner):
    holder = lab.enqueue(unique_key="k", owner=owner)
    assert lab.redis.eval(FREED_BEFORE, 1, lab.keys.prefix, holder) == 1
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k", owner=owner)])).answers == ["NEW"]


# Idempotency keys


def test_a_request_that_is_made_again_is_answered_as_the_first_time(lab):
    jobs, request = [new_job()], Request("key", "digest", "1800")
    assert lab.run(lab.queue.enqueue(jobs, request)).kind == "OK"
    before = lab.everything()
    again = lab.run(lab.queue.enqueue([new_job()], request._replace(answer="1900")))
    assert (again.kind, again.detail, again.answers) == ("REPLAYED", "1800", ["NEW"])
    assert lab.everything() == before
    assert DAY - 10_000 < lab.redis.pttl(lab.keys.prefix + "idempotency:key") <= DAY


def test_a_repeated_request_with_a_duplicate_gets_the_first_answer_again(lab):
    holder, request = lab.enqueue(unique_key="k"), Request("key", "digest", "1800")
    duplicate = [new_job(unique_key="k"), new_job()]
    first = lab.run(lab.queue.enqueue(duplicate, request))
    assert first.answers == [f"{holder} pending normal", "NEW"]
    lab.hire()
    for job in lab.fetch(want=2):
        lab.complete(job)
    before = lab.everything()
    again = lab.run(lab.queue.enqueue(duplicate, request))
    assert (again.kind, again.detail, again.answers) == ("REPLAYED", "1800", first.answers)
    assert lab.everything() == before
    assert DAY - 10_000 < lab.redis.pttl(lab.keys.prefix + "duplicates:key") <= DAY


def test_a_request_with_thousands_of_duplicates_is_answered_as_the_first_time(lab):
    lab.enqueue(unique_key="k")
    jobs = [new_job(unique_key="k") for _ in range(9_999)]
    first, again = (lab.run(lab.queue.enqueue(jobs, Request("key", "digest", "1"))) for _ in range(2))
    assert (again.kind, again.answers) == ("REPLAYED", first.answers)


def test_another_request_under_a_known_key_is_refused(lab):
    lab.run(lab.queue.enqueue([new_job()], Request("key", "digest", "1800")))
    before = lab.everything()
    assert lab.run(lab.queue.enqueue([new_job()], Request("key", "other", "1800"))).kind == "MISMATCH"
    assert lab.everything() == before


# Jobs that wait for others


def test_a_parent_that_does_not_exist_refuses_the_whole_call(lab):
    missing = new_job_id()
    before = lab.everything()
    reply = lab.run(lab.queue.enqueue([new_job(), new_job(after=(missing,))]))
    assert (reply.kind, reply.detail) == ("NOPARENT", missing)
    assert lab.everything() == before


def test_a_repeat_is_answered_though_the_parent_is_gone_meanwhile(lab):
    parent = lab.seed_processing(retention=0)
    call = lab.queue.enqueue([new_job(after=(parent.id,))])
    assert lab.run(call).answers == ["NEW"]
    lab.complete(parent)
    assert lab.run_twice(call)[0].answers == ["DUPLICATE"]


def test_a_parent_may_be_earlier_in_the_batch_but_not_later(lab):
    parent = new_job()
    child = new_job(after=(parent.id,))
    assert lab.run(lab.queue.enqueue([child, parent])).kind == "NOPARENT"
    assert lab.run(lab.queue.enqueue([parent, child])).answers == ["NEW", "NEW"]
    assert lab.state(child.id) == "scheduled"


def test_a_child_goes_when_all_its_parents_have_completed(lab):
    parents = lab.seed_pending(2)
    child = lab.enqueue(after=tuple(parents))
    assert lab.record(child)["waiting_for"] == "2"
    lab.hire()
    first, second = lab.fetch(want=2)
    lab.complete(first)
    assert lab.state(child) == "scheduled"
    lab.complete(second, result=b'{"two":2}')
    assert lab.standing("next") == [child]
    (job,) = lab.fetch()
    assert job.parents == {first.id: b"1", second.id: b'{"two":2}'}


def test_a_child_of_a_completed_parent_goes_at_once(lab):
    child = lab.enqueue(after=(lab.seed_completed(),))
    assert lab.standing("next") == [child]


def test_a_child_that_is_not_due_waits_on_after_its_parents(lab):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,), due="+5000")
    lab.complete(parent)
    assert lab.scores("scheduled") == {child: lab.now + 5000}
    assert lab.alarm() == lab.now + 5000


def test_a_child_whose_parent_has_failed_fails_or_runs_as_it_says(lab):
    parent = lab.seed_failed()
    fails = lab.enqueue(after=(parent,))
    runs = lab.enqueue(after=(parent,), on_parent_failure="run")
    assert lab.state(fails) == "failed"
    assert parent in lab.record(fails)["error"]
    assert lab.standing("next") == [runs]
    assert lab.totals()["failed:email:ParentFailed"] == 1


@pytest.mark.parametrize("after_all", [False, True])
def test_a_failure_reaches_the_childrens_children(lab, after_all):
    parent = lab.seed_processing()
    child = lab.enqueue(after=(parent.id,))
    grandchild = lab.enqueue(after=(child,), on_parent_failure="run" if after_all else "fail")
    lab.run(lab.queue.dead_letter("w1", failure(parent), "ValueError"))
    assert lab.state(child) == "failed"
    assert lab.state(grandchild) == ("pending" if after_all else "failed")


def test_a_parent_that_ends_twice_counts_once(lab):
    first, second = lab.seed_processing(), lab.seed_processing()
    child = lab.enqueue(after=(first.id, second.id), on_parent_failure="run")
    lab.run(lab.queue.dead_letter("w1", failure(first), "ValueError"))
    lab.run(lab.queue.redrive([first.id]))
    (again,) = lab.fetch()
    lab.complete(again)
    assert lab.state(child) == "scheduled"
    lab.complete(second)
    assert lab.state(child) == "pending"


def test_a_child_that_was_redriven_waits_for_no_one_any_more(lab):
    first, second = lab.seed_processing(), lab.seed_processing()
    child = lab.enqueue(after=(first.id, second.id))
    lab.run(lab.queue.dead_letter("w1", failure(first), "ValueError"))
    lab.run(lab.queue.redrive([child]))
    (given,) = lab.fetch()
    lab.run(lab.queue.requeue("w1", given.id, given.token, 3600.0))
    lab.run(lab.queue.dead_letter("w1", failure(second), "ValueError"))
    assert lab.state(child) == "scheduled"


def test_a_parent_whose_unique_key_is_taken_is_replaced_by_the_job_that_has_it(lab):
    holder = lab.seed_processing(unique_key="k")
    parent = new_job(unique_key="k")
    child = new_job(after=(parent.id,))
    assert lab.run(lab.queue.enqueue([parent, child])).answers == [f"{holder.id} processing normal", "NEW"]
    assert lab.record(parent.id) == {}
    lab.complete(holder, result=b"7")
    assert lab.fetch()[0].parents == {holder.id: b"7"}


def test_thousands_that_wait_for_one_job_do_not_hold_the_server_up(lab):
    parent = new_job()
    children = [new_job(after=(parent.id,)) for _ in range(9_999)]
    assert set(lab.run(lab.queue.enqueue([parent, *children])).answers) == {"NEW"}
    lab.hire()
    lab.complete(lab.fetch()[0])
    told = [lab.run(lab.queue.promote()) for _ in range(50)]
    assert [promoted.moved for promoted in told] == [200] * 48 + [199, 0]
    assert [promoted.next_due for promoted in told] == [lab.now] * 48 + [None] * 2
    assert lab.standing("next") == [children[0].id]
    assert lab.standing("pending:normal") == [child.id for child in children[1:]]


def test_more_may_wait_for_a_job_that_others_wait_for(lab):
    parent = lab.seed_processing()
    children = [lab.enqueue(after=(parent.id,)) for _ in range(3)]
    lab.complete(parent)
    assert lab.standing("next") + lab.standing("pending:normal") == children


def test_a_unique_job_that_can_still_start_in_time_keeps_its_key(lab):
    first = lab.enqueue(unique_key="k", expires="+5000")
    assert lab.run(lab.queue.enqueue([new_job(unique_key="k")])).answers == [f"{first} pending normal"]
