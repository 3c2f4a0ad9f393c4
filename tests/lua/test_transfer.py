"""transfer/: what an export reads of a queue while it changes, and what an import makes of each job."""

import pytest

from gopher.jobs.job import NewJob, new_job_id
from gopher.queue.transfer_moves import ArrivingJob

FIELDS = (b"envelope", b'{"payload":{}}')


def arriving(state="pending", **options):
    defaults = {
        "at": 0,
        "expires": "",
        "unique_until": "",
        "waits_for": "",
        "failed_by": "",
        "group": "",
        "fields": FIELDS,
    }
    given = {"id": new_job_id(), "type": "email", "priority": "normal", "state": state, **defaults, **options}
    return ArrivingJob(**given)


def store(lab, *jobs, digest=""):
    return lab.run(lab.queue.store_jobs(digest or new_job_id(), jobs))


def read(lab, place, start=0, limit=100, snapshot="s1"):
    return lab.run(lab.queue.read_snapshot(snapshot, place, start, limit))


def ids(page):
    return [row.id for row in page.rows]


def take(lab, **options):
    return lab.run(lab.queue.take_snapshot("s1", **{"with_finished": True, **options}))


# Reading


def test_a_snapshot_has_each_job_in_its_place_from_the_head_on(lab):
    failed, done, retrying = lab.seed_failed(), lab.seed_completed(), lab.seed_retrying()
    running = lab.seed_processing().id
    late = lab.enqueue(due=str(lab.now + 60_000))
    pending = lab.seed_pending(4)
    snapshot = take(lab)
    assert snapshot.places == {
        "failed": 1, "finished": 1, "retrying": 1, "processing": 1, "scheduled": 1, "next": 1, "pending:normal": 3,
    }  # fmt: skip
    assert snapshot.at == lab.now
    for place, found in (("failed", failed), ("finished", done), ("retrying", retrying), ("scheduled", late)):
        assert ids(read(lab, place)) == [found]
    assert ids(read(lab, "processing")) == [running]
    assert [*ids(read(lab, "next")), *ids(read(lab, "pending:normal"))] == pending
    assert ids(read(lab, "pending:normal", 1, 1)) == [pending[2]]
    assert read(lab, "pending:normal", 3).ids == 0


def test_a_snapshot_has_throttled_jobs_of_all_buckets(lab):
    lab.run(lab.queue.set_limit("email", 0.001, 1.0, None, per_key=True))
    lab.hire()
    throttled = [lab.enqueue(limit_key=key) for key in ("a", "a", "a", "b", "b")]
    assert len(lab.fetch(want=5)) == 2
    snapshot = take(lab)
    assert snapshot.places["throttled:normal"] == 3
    assert set(ids(read(lab, "throttled:normal"))) <= set(throttled)


def test_each_job_is_read_once_whatever_moves_meanwhile(lab):
    jobs = lab.seed_pending(6)
    take(lab)
    lab.hire()
    for _ in range(3):
        lab.complete(lab.fetch()[0])
    lab.enqueue()
    read_jobs = [
        *ids(read(lab, "next")),
        *ids(read(lab, "pending:normal", 0, 2)),
        *ids(read(lab, "pending:normal", 2, 9)),
    ]
    assert read_jobs == jobs
    assert take(lab).places == {"next": 1, "pending:normal": 5}


def test_a_job_whose_record_is_gone_is_left_out_and_a_corrupt_one_is_named(lab):
    first, second, third = lab.seed_pending(3)
    take(lab)
    lab.run(lab.queue.cancel(second))
    lab.redis.delete(lab.keys.job(second))
    lab.redis.rename(lab.keys.job(third), lab.keys.prefix + "kept")
    lab.redis.set(lab.keys.job(third), "x")
    page = read(lab, "pending:normal")
    assert (page.ids, [(row.id, row.fields) for row in page.rows]) == (2, [(third, ())])
    lab.redis.rename(lab.keys.prefix + "kept", lab.keys.job(third))
    assert first


def test_a_page_ends_after_a_number_of_bytes(lab):
    large = b'{"payload":"%s"}' % (b"x" * 700_000)
    jobs = [lab.enqueue(envelope=large) for _ in range(4)]
    take(lab)
    first = read(lab, "pending:normal")
    assert (first.ids, ids(first)) == (2, jobs[1:3])


def test_a_row_has_times_and_parents(lab):
    parent = lab.seed_completed()
    other = lab.enqueue(due=str(lab.now + 60_000))
    child = lab.enqueue(after=(parent, other), unique_key="k", unique_for=60.0)
    take(lab)
    (row, _) = read(lab, "scheduled").rows
    assert (row.id, row.waits_for, row.failed_by) == (child, other, "")
    assert 0 < row.unique_for <= 60_000
    (done,) = read(lab, "finished").rows
    assert 0 < done.expires_in <= 3_600_000
    page = lab.run(lab.queue.read_records("s1", [other, "nothing"]))
    assert (page.ids, ids(page)) == (2, [other])


def test_a_row_names_the_parents_of_other_queues(lab):
    parents = (lab.seed_completed(), new_job_id())
    child = lab.enqueue(after=parents, remote_parents=((parents[1], "files"),))
    take(lab)
    (row,) = read(lab, "scheduled").rows
    assert (row.id, row.waits_for) == (child, parents[1])


def test_a_row_leaves_out_parents_of_other_queues_that_have_told_their_end(lab):
    ended, other = new_job_id(), new_job_id()
    child = lab.enqueue(after=(ended, other), remote_parents=((ended, "files"), (other, "files")))
    lab.run(lab.queue.release_children(ended, "completed", "", 0))
    lab.run(lab.queue.promote())
    take(lab)
    (row,) = read(lab, "scheduled").rows
    assert (row.id, row.waits_for) == (child, other)


def test_a_row_of_a_job_that_runs_whatever_its_parents_do_has_none_that_has_failed_it(lab):
    failed, other = lab.seed_failed(), lab.enqueue(due=str(lab.now + 60_000))
    child = lab.enqueue(after=(failed, other), on_parent_failure="run")
    take(lab)
    row = next(each for each in read(lab, "scheduled").rows if each.id == child)
    assert (row.waits_for, row.failed_by) == (other, "")


def test_copies_are_kept_for_a_time_and_deleted_at_the_end(lab):
    lab.seed_pending(3)
    take(lab)
    names = [name for name in lab.everything() if name.startswith(("snapshot", "copied"))]
    assert len(names) == 3
    assert all(0 < lab.redis.pttl(lab.keys.prefix + name) <= 3_600_000 for name in names)
    lab.run_twice(lab.queue.drop_snapshot("s1"))
    assert not [name for name in lab.everything() if name.startswith(("snapshot", "copied"))]
    assert read(lab, "next") is None


def test_an_empty_queue_has_an_empty_snapshot(lab):
    lab.run(lab.queue.pause())
    snapshot = take(lab)
    assert (snapshot.is_paused, snapshot.places) == (True, {})


# Storing


def test_jobs_come_behind_those_that_wait(lab):
    before = lab.seed_pending(2)
    jobs = [arriving() for _ in range(3)]
    assert store(lab, *jobs) == []
    lab.hire()
    assert [job.id for job in lab.fetch(want=5)] == [*before, *(job.id for job in jobs)]
    assert lab.totals()["enqueued:email:normal"] == 5


def test_a_repeat_stores_nothing_even_if_the_jobs_are_gone(lab):
    job = arriving(fields=(*FIELDS, b"retention", b"0"))
    first, second = lab.run_twice(lab.queue.store_jobs("d1", [job]))
    assert (first, second) == ([], None)
    lab.hire()
    assert lab.complete(lab.fetch()[0]) == "OK"
    assert store(lab, job, digest="d1") is None
    assert lab.fetch() == []


def test_digests_are_forgotten_after_thirty_days(lab):
    store(lab, arriving(), digest="d1")
    lab.pass_time(31 * 86_400)
    store(lab, arriving(), digest="d2")
    assert lab.standing("imported") == ["d2"]
    assert lab.redis.pttl(lab.keys.imported) > 0


def test_a_job_that_is_there_stays_as_it_is(lab):
    job_id = lab.seed_failed()
    before = lab.record(job_id)
    assert store(lab, arriving(), arriving(id=job_id)) == [(1, "EXISTS")]
    assert lab.record(job_id) == before


def test_states_and_times_are_kept(lab):
    due = lab.now + 5_000
    late, retrying = arriving("scheduled", at=due), arriving("retrying", at=due + 1)
    dead = arriving("failed", at=lab.now - 70_000, group="email\nValueError\nshop.py:1 send")
    done = arriving("completed", at=lab.now - 50_000, expires=int(lab.redis.time()[0]) * 1000 + 60_000)
    lab.set_clock(int(lab.redis.time()[0]) * 1000)
    due_now = arriving("scheduled", at=lab.now - 1)
    assert store(lab, late, retrying, dead, done, due_now) == []
    assert lab.scores("scheduled") == {late.id: due}
    assert lab.scores("retrying") == {retrying.id: due + 1}
    assert lab.scores("failed") == {dead.id: dead.at}
    assert lab.groups() == {dead.group: [dead.id]}
    assert lab.scores("finished") == {done.id: done.at}
    assert 0 < lab.redis.pttl(lab.keys.job(done.id)) <= 60_000
    assert (lab.standing("next"), lab.state(due_now.id)) == ([due_now.id], "pending")
    assert lab.alarm() == due
    assert lab.run(lab.queue.redrive([dead.id])) == 1


def test_an_expired_record_is_left_out(lab):
    assert store(lab, arriving("completed", at=1, expires=lab.now)) == [(0, "EXPIRED")]
    assert lab.totals() == {}


def test_the_owner_of_a_waiting_job_is_counted(lab):
    fields = (*FIELDS, b"owner", b"ann")
    store(lab, arriving(fields=fields), arriving("scheduled", at=lab.now + 9, fields=fields))
    store(lab, arriving("failed", at=1, group="a\nb\nc", fields=fields))
    assert lab.redis.hgetall(lab.keys.waiting) == {b"ann": b"2"}


def unique(lab, **options):
    until = int(lab.redis.time()[0]) * 1000 + 60_000
    return arriving(unique_until=until, fields=(*FIELDS, b"unique", b"email k"), **options)


def test_a_unique_key_counts_as_long_as_it_did(lab):
    lab.set_clock(int(lab.redis.time()[0]) * 1000)
    job = unique(lab)
    store(lab, job)
    assert 0 < lab.redis.pttl(lab.keys.unique("email k")) <= 60_000
    assert lab.run(lab.queue.cancel(job.id)) == "CANCELLED"
    assert not lab.redis.exists(lab.keys.unique("email k"))


def test_a_unique_key_that_has_expired_does_not_count(lab):
    store(lab, arriving(unique_until=lab.now, fields=(*FIELDS, b"unique", b"email k")))
    assert not lab.redis.exists(lab.keys.unique("email k"))


def test_children_of_a_duplicate_wait_for_the_job_that_has_its_key(lab):
    lab.set_clock(int(lab.redis.time()[0]) * 1000)
    holder = lab.enqueue(unique_key="k", due=str(lab.now + 1000))
    double = unique(lab)
    child = arriving("scheduled", waits_for=double.id, fields=(*FIELDS, b"parents", double.id.encode()))
    assert store(lab, child) == []
    assert store(lab, double) == [(0, "DUPLICATE")]
    assert lab.record(child.id)["parents"] == holder
    lab.run(lab.queue.cancel(holder))
    assert lab.state(child.id) == "failed"


# Jobs that wait for others


def waiting(*parents, on_failure="fail", **options):
    named = ",".join(parent.id for parent in parents)
    fields = (*FIELDS, b"parents", named.encode(), b"on_parent_failure", on_failure.encode())
    return arriving("scheduled", waits_for=named, fields=fields, **options)


@pytest.mark.parametrize("child_first", [True, False])
@pytest.mark.parametrize(("end", "expected"), [("complete", "pending"), ("cancel", "failed")])
def test_a_child_waits_for_its_parents_whichever_comes_first(lab, child_first, end, expected):
    parent = arriving()
    child = waiting(parent)
    for job in (child, parent) if child_first else (parent, child):
        assert store(lab, job) == []
    assert lab.record(child.id)["waiting_for"] == "1"
    lab.run(lab.queue.link_awaiting({parent.id: ""}))
    lab.hire()
    if end == "complete":
        lab.complete(lab.fetch()[0])
    else:
        lab.run(lab.queue.cancel(parent.id))
    assert lab.state(child.id) == expected


def test_very_many_children_are_all_notified(lab):
    parent = arriving()
    children = [waiting(parent) for _ in range(1200)]
    store(lab, *children)
    store(lab, parent)
    lab.hire()
    lab.complete(lab.fetch()[0])
    while lab.run(lab.queue.promote()).moved:
        pass
    assert {lab.state(child.id) for child in children} == {"pending"}


@pytest.mark.parametrize(("state", "expected"), [("completed", "pending"), ("cancelled", "failed")])
def test_a_parent_that_arrives_ended_releases_or_fails_its_children(lab, state, expected):
    lab.set_clock(int(lab.redis.time()[0]) * 1000)
    parent = arriving(state, at=lab.now - 1, expires=lab.now + 60_000)
    child = waiting(parent)
    store(lab, child)
    store(lab, parent)
    lab.run(lab.queue.promote())
    assert lab.state(child.id) == expected


def test_a_result_that_a_child_will_read_is_kept(lab):
    lab.set_clock(int(lab.redis.time()[0]) * 1000)
    parent = arriving("completed", at=lab.now - 60_000, expires=lab.now + 60_000, fields=(*FIELDS, b"result", b"7"))
    child = arriving(fields=(*FIELDS, b"parents", parent.id.encode()))
    store(lab, parent, child)
    assert lab.run(lab.queue.evict(10, 0, lab.now, 0.0)).records == 0
    lab.hire()
    (job,) = lab.fetch()
    assert job.parents == {parent.id: b"7"}


@pytest.mark.parametrize(("on_failure", "expected"), [("fail", "failed"), ("run", "pending")])
def test_children_of_a_job_that_never_comes_are_notified_at_the_end(lab, on_failure, expected):
    parent = arriving()
    child = waiting(parent, on_failure=on_failure)
    store(lab, child)
    lab.run(lab.queue.promote())
    assert lab.state(child.id) == "scheduled"
    lab.run(lab.queue.link_awaiting({parent.id: ""}))
    lab.run(lab.queue.promote())
    assert lab.state(child.id) == expected
    assert not lab.redis.exists(lab.keys.awaited)


def test_children_of_a_job_of_another_queue_have_that_queue_tell_how_it_ends(lab):
    parent = arriving()
    children = [waiting(parent) for _ in range(2)]
    store(lab, *children)
    for _ in range(2):
        lab.run(lab.queue.link_awaiting({parent.id: "other"}))
    lab.run(lab.queue.promote())
    assert {lab.state(child.id) for child in children} == {"scheduled"}
    assert not lab.redis.exists(lab.keys.awaited, lab.keys.awaiting(parent.id))
    assert lab.redis.lrange(lab.keys.remote_children(parent.id), 0, -1) == [child.id.encode() for child in children]
    assert lab.redis.llen(lab.keys.outbox("other")) == 1


def test_a_child_whose_parent_has_failed_fails(lab):
    child, dead_before = waiting(), lab.seed_failed()
    child = child._replace(failed_by=dead_before)
    other = waiting(arriving(id=dead_before))
    grandchild = waiting(child)
    store(lab, grandchild, child, other)
    lab.run(lab.queue.promote())
    assert {lab.state(each.id) for each in (child, other, grandchild)} == {"failed"}


def test_a_full_server_refuses_the_whole_call(lab):
    lab.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(Exception, match="memory"):
            store(lab, arriving())
        lab.run(lab.queue.take_snapshot("s2", with_finished=False))
    finally:
        lab.redis.config_set("maxmemory", 0)
    assert lab.standing("next") == []


def test_a_parent_that_came_another_way_is_waited_for_once_it_is_found(lab):
    parent = arriving()
    child = waiting(parent)
    store(lab, child)
    lab.run(lab.queue.enqueue([NewJob(parent.id, "email", b'{"payload":{}}')]))
    assert store(lab, parent) == [(0, "EXISTS")]
    lab.hire()
    lab.complete(lab.fetch()[0])
    assert lab.state(child.id) == "pending"


def test_a_parent_that_came_another_way_is_waited_for_at_the_end(lab):
    parent = arriving()
    child = waiting(parent)
    store(lab, child)
    lab.run(lab.queue.enqueue([NewJob(parent.id, "email", b'{"payload":{}}')]))
    lab.run(lab.queue.link_awaiting({parent.id: lab.keys.queue}))
    assert not lab.redis.exists(lab.keys.awaited)
    lab.hire()
    lab.complete(lab.fetch()[0])
    assert lab.state(child.id) == "pending"


def test_a_job_that_fails_with_its_parent_frees_its_unique_key(lab):
    lab.set_clock(int(lab.redis.time()[0]) * 1000)
    store(lab, unique(lab, state="scheduled", failed_by=lab.seed_failed()))
    assert not lab.redis.exists(lab.keys.unique("email k"))
