"""throttle: the other side said "slow down", so the whole type rests for a while."""

from gopher.queue.keys import held_tenant


def test_the_type_rests_and_the_job_goes_first_then(lab):
    job = lab.seed_processing()
    younger = lab.enqueue()
    assert lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0)) == "OK"
    assert lab.standing("throttled:email:normal") == [job.id]
    assert lab.record(job.id)["attempts"] == "0"
    assert lab.scores("throttled") == {"email": lab.now + 5000}
    assert lab.alarm() == lab.now + 5000
    assert lab.fetch(want=5) == []
    lab.pass_time(5)
    assert [again.id for again in lab.fetch(want=5)] == [job.id, younger]


def test_the_job_goes_before_those_that_are_throttled_already(lab):
    lab.run(lab.queue.set_limit("email", None, None, 1))
    job = lab.seed_processing()
    younger = lab.enqueue()
    assert lab.fetch() == []
    lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0))
    assert lab.standing("throttled:email:normal") == [job.id, younger]


def test_other_types_continue(lab):
    job = lab.seed_processing()
    other = lab.enqueue("report")
    lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0))
    assert [each.id for each in lab.fetch(want=5)] == [other]


def test_a_shorter_rest_does_not_end_a_longer_one(lab):
    first, second = lab.seed_processing(), lab.seed_processing()
    lab.run(lab.queue.throttle("w1", first.id, first.token, 9.0))
    lab.run(lab.queue.throttle("w1", second.id, second.token, 1.0))
    lab.pass_time(8)
    assert lab.fetch(want=5) == []
    lab.pass_time(1)
    assert len(lab.fetch(want=5)) == 2


def test_the_scheduler_ends_the_rest_for_workers_that_sleep(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0))
    lab.pass_time(5)
    assert lab.run(lab.queue.promote()).moved == 1
    assert lab.standing("next") == [job.id]


def test_a_job_that_was_cancelled_meanwhile_is_cancelled_and_still_throttles_its_type(lab):
    job = lab.seed_processing()
    younger = lab.enqueue()
    lab.run(lab.queue.cancel(job.id))
    assert lab.run_twice(lab.queue.throttle("w1", job.id, job.token, 5.0)) == ("OK", "ALREADY")
    assert lab.state(job.id) == "cancelled"
    assert lab.fetch(want=5) == []
    assert lab.standing("throttled:email:normal") == [younger]


def hold(lab, limit_key, seconds=5.0, job_type="email"):
    """Let the handler of a job with a key be told to slow down."""
    job = lab.seed_processing(job_type=job_type, limit_key=limit_key)
    assert lab.run(lab.queue.throttle("w1", job.id, job.token, seconds, "key")) == "OK"
    return job.id


def test_jobs_of_other_keys_and_without_one_continue_while_a_key_rests(lab):
    first = hold(lab, "ann")
    again, bob, none = lab.enqueue(limit_key="ann"), lab.enqueue(limit_key="bob"), lab.enqueue()
    assert [job.id for job in lab.fetch(want=5)] == [bob, none]
    assert lab.standing("throttled:email/ann:normal") == [first, again]
    assert lab.scores("held:email") == {"ann": lab.now + 5000}
    lab.pass_time(5)
    assert [job.id for job in lab.fetch(want=5)] == [first, again]


def test_a_type_whose_last_key_has_rested_is_looked_at_no_more(lab):
    hold(lab, "ann")
    lab.pass_time(5)
    lab.redis.delete(lab.keys.held("email"))  # as it expires by itself
    assert len(lab.fetch(want=5)) == 1
    assert lab.redis.exists(lab.keys.limited, lab.keys.throttled, lab.keys.limit("email")) == 0


def test_a_type_that_has_rested_is_looked_at_no_more(lab):
    job = lab.seed_processing()
    lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0))
    lab.pass_time(5)
    assert len(lab.fetch(want=5)) == 1
    assert lab.redis.exists(lab.keys.limited, lab.keys.throttled, lab.keys.limit("email")) == 0


def test_what_holds_a_key_expires_with_the_last_one_and_forgets_those_that_have_ended(lab):
    hold(lab, "ann", 5.0)
    hold(lab, "bob", 60.0)
    assert 55_000 < lab.redis.pttl(lab.keys.held("email")) <= 60_000
    lab.pass_time(6)
    hold(lab, "eve", 1.0)
    assert set(lab.scores("held:email")) == {"bob", "eve"}


def test_a_shorter_rest_does_not_end_a_longer_one_of_a_key(lab):
    first, second = lab.seed_processing(limit_key="ann"), lab.seed_processing(limit_key="ann")
    lab.run(lab.queue.throttle("w1", first.id, first.token, 9.0, "key"))
    lab.run(lab.queue.throttle("w1", second.id, second.token, 1.0, "key"))
    lab.pass_time(8)
    assert lab.fetch(want=5) == []
    lab.pass_time(1)
    assert len(lab.fetch(want=5)) == 2


def test_a_job_without_a_key_and_one_that_says_so_throttle_the_type(lab):
    for limit_key, scope in (("", "key"), ("ann", "type")):
        job = lab.seed_processing(limit_key=limit_key)
        lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0, scope))
        lab.enqueue(limit_key="bob")
        assert lab.fetch(want=5) == []
        lab.pass_time(5)
        lab.hire()
        assert len(lab.fetch(want=5)) == 2


def test_a_key_rests_also_where_its_type_has_a_limit_for_all_or_for_each_key(lab):
    for per_key in (False, True):
        lab.run(lab.queue.set_limit("email", None, None, 3, per_key))
        first = hold(lab, "ann")
        again, bob = lab.enqueue(limit_key="ann"), lab.enqueue(limit_key="bob")
        (only,) = lab.fetch(want=5)
        assert only.id == bob
        assert lab.standing("throttled:email/ann:normal") == [first, again]
        lab.complete(only)
        lab.pass_time(5)
        lab.hire()
        jobs = lab.fetch(want=5)
        assert [job.id for job in jobs] == [first, again]
        assert [lab.complete(job) for job in jobs] == ["OK", "OK"]


def test_ten_thousand_keys_that_rest_cost_a_fetch_no_more_than_ten(lab):
    def commands(keys):
        """Return how many commands a fetch of jobs with keys runs, most of which rest."""
        lab.redis.zadd(lab.keys.held("email"), {f"key:{number}": lab.now + 60_000 for number in range(keys)})
        lab.redis.sadd(lab.keys.limited, "email")
        for number in range(20):
            lab.enqueue(limit_key=f"key:{number}" if number < 10 else f"free:{number}")
        lab.hire()
        lab.redis.config_resetstat()
        fetched = lab.fetch(want=5)
        ran = sum(each["calls"] for each in lab.redis.info("commandstats").values())
        assert len(fetched) == 5
        return ran

    few = commands(10)
    lab.redis.flushdb()
    lab.set_clock(lab.now)
    assert commands(10_000) == few


def hold_tenant(lab, tenant, **options):
    job = lab.seed_processing(tenant=tenant, **options)
    assert lab.run(lab.queue.throttle("w1", job.id, job.token, 5.0, "tenant")) == "OK"
    return job.id


def test_jobs_of_other_tenants_and_other_types_continue_while_those_of_a_tenant_rest(lab):
    for per_key in (None, False, True):
        if per_key is not None:
            lab.run(lab.queue.set_limit("email", None, None, 9, per_key))
        first = hold_tenant(lab, "ann", limit_key="x")
        again, keyless = lab.enqueue(tenant="ann", limit_key="x"), lab.enqueue(tenant="ann")
        others = {
            lab.enqueue(tenant="bob", limit_key="x"),
            lab.enqueue(limit_key="x"),
            lab.enqueue("sms", tenant="ann"),
        }
        jobs = lab.fetch(want=9)
        assert {job.id for job in jobs} == others
        assert lab.standing("throttled:email/,ann:normal") == [first, again, keyless]
        lab.pass_time(5)
        lab.hire()
        rested = lab.fetch(want=9)
        assert [job.id for job in rested] == [first, again, keyless]
        assert [lab.complete(job) for job in jobs + rested] == ["OK"] * 6
        assert not lab.redis.exists(lab.keys.throttled)


def test_jobs_without_a_tenant_are_one_tenant_that_can_rest(lab):
    first, ann = hold_tenant(lab, ""), lab.enqueue(tenant="ann")
    again = lab.enqueue()
    assert [job.id for job in lab.fetch(want=5)] == [ann]
    lab.pass_time(5)
    assert [job.id for job in lab.fetch(want=5)] == [first, again]


def test_a_tenant_that_rests_is_released(lab):
    first = hold_tenant(lab, "ann")
    hold_tenant(lab, "bob")
    assert lab.run_twice(lab.queue.release("email", held_tenant("ann"))) == (1, 0)
    assert [job.id for job in lab.fetch(want=5)] == [first]
