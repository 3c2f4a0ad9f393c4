"""The dead letter queue: what is shown, retried and deleted."""

import pytest

from gopher.client import Client
from gopher.errors import InvalidJob, JobConflict, JobNotFound, RedriveNotFound
from gopher.jobs.job import new_job_id
from gopher.jobs.models import GroupPage
from gopher.reads import groups, listing, paging
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def bury(client, count, job_type="email", error="ValueError", queue="default", place=""):
    """Store jobs and let each die of `error`; return their ids, the first one died first."""
    ids = [client.enqueue(job_type, {"n": number}, queue=queue) for number in range(count)]
    worker = SeedingWorker(client, queue)
    for job in worker.fetch(count):
        worker.dead_letter(job, error, place)
    return ids


def state(client, job_id, queue="default"):
    return client.inspector.state(queue, job_id)


def test_shows_dead_letters_newest_first_and_how_many_there_are(client):
    ids = bury(client, 5) + bury(client, 2, queue="mail")
    page = client.dead_letters.page(limit=3)
    rest = client.dead_letters.page(limit=10, cursor=page.next_cursor)
    assert page.total_count == rest.total_count == 7
    assert sorted(job.job_id for job in page.jobs + rest.jobs) == sorted(ids)
    assert page.jobs[0].error
    assert rest.next_cursor is None


def test_filters_by_type_and_by_class_of_error_and_counts_what_fits(client):
    bury(client, 3)
    (timed_out,) = bury(client, 1, error="SoftTimeout")
    (report,) = bury(client, 1, job_type="report_generation")
    by_error = client.dead_letters.page(error="SoftTimeout")
    by_type = client.dead_letters.page(job_type="report_generation")
    assert ([job.job_id for job in by_error.jobs], by_error.total_count) == ([timed_out], 1)
    assert ([job.job_id for job in by_type.jobs], by_type.total_count) == ([report], 1)
    assert client.dead_letters.page(job_type="email", error="ValueError").total_count == 3


def test_a_retried_dead_letter_keeps_its_id_and_history_and_starts_with_fresh_attempts(client):
    (job_id,) = bury(client, 1)
    client.dead_letters.retry(job_id)
    job = client.job(job_id)
    assert (job.status, job.attempts, len(job.history)) == ("pending", 0, 1)
    assert job.error is None


def test_says_that_a_job_is_not_there_or_not_dead(client):
    waiting = client.enqueue("email", {})
    for deed in (client.dead_letters.retry, client.dead_letters.discard):
        with pytest.raises(JobNotFound):
            deed(new_job_id())
        with pytest.raises(JobConflict, match="is pending"):
            deed(waiting)
    assert state(client, waiting) == "pending"


def test_a_discarded_dead_letter_is_gone(client):
    (job_id,) = bury(client, 1)
    client.dead_letters.discard(job_id)
    assert state(client, job_id) is None
    assert client.dead_letters.page().total_count == 0


def test_retries_all_in_chunks(client):
    ids = bury(client, 250)
    assert client.dead_letters.retry_all() == 250
    assert {state(client, job_id) for job_id in ids} == {"pending"}


def test_retries_only_what_fits_the_filters(client):
    kept = bury(client, 120) + bury(client, 1, job_type="report_generation", error="OSError")
    wanted = bury(client, 130, error="OSError")
    assert client.dead_letters.retry_all(job_type="email", error="OSError") == 130
    assert {state(client, job_id) for job_id in wanted} == {"pending"}
    assert {state(client, job_id) for job_id in kept} == {"failed"}


def test_a_limit_takes_the_oldest_first_over_all_queues(client):
    ids = bury(client, 10)
    other = bury(client, 5, queue="mail")
    assert client.dead_letters.retry_all(limit=4, queue="default") == 4
    assert [state(client, job_id) for job_id in ids].count("failed") == 6
    assert client.dead_letters.retry_all(limit=8) == 8
    assert client.dead_letters.page().total_count == 3
    assert len(other) == 5


def test_what_dies_again_meanwhile_is_not_retried_twice(client, monkeypatch):
    bury(client, 150)
    worker = SeedingWorker(client)
    run = client.server.run

    def run_and_die(call, **options):
        reply = run(call, **options)
        if call.script.name == "redrive":
            for job in worker.fetch(200):
                worker.dead_letter(job)
        return reply

    monkeypatch.setattr(client.server, "run", run_and_die)
    assert client.dead_letters.retry_all() == 150


def test_a_dead_letter_without_a_record_does_not_stop_the_others(client):
    ids = bury(client, 130)
    client.server.client.delete(client.server.keys.for_queue("default").job(ids[0]))
    assert client.dead_letters.retry_all() == 129


def test_discards_all_that_fit(client):
    bury(client, 3)
    bury(client, 110, error="OSError")
    assert client.dead_letters.discard_all(error="OSError") == 110
    assert client.dead_letters.page().total_count == 3
    assert client.dead_letters.discard_all() == 3


def test_refuses_a_cursor_of_another_listing(client):
    with pytest.raises(InvalidJob, match="cursor"):
        client.dead_letters.page(cursor="%%%")


def test_groups_dead_letters_by_type_class_of_error_and_place_the_most_first(client):
    few = bury(client, 2, error="OSError")
    many = bury(client, 3, place="shop/mail.py:42 send")
    page = client.dead_letters.groups()
    assert page.total_count == 2
    first, second = page.groups
    assert (first.type, first.error, first.place, first.count) == ("email", "ValueError", "shop/mail.py:42 send", 3)
    assert (second.error, second.place, second.count, second.last_job_id in few) == ("OSError", None, 2, True)
    assert first.last_job_id in many
    assert first.first_seen <= first.last_seen == client.job(first.last_job_id).finished_at
    assert [view.error for view in client.dead_letters.groups(limit=1).groups] == ["ValueError"]


def test_a_group_is_one_over_all_queues(client):
    first, last = bury(client, 2), bury(client, 1, queue="mail")
    (group,) = client.dead_letters.groups().groups
    assert (group.count, group.queues, group.last_job_id) == (3, ["default", "mail"], last[0])
    assert [view.count for view in client.dead_letters.groups("default").groups] == [2]
    assert client.dead_letters.retry_all(group=group.group) == 3
    assert {state(client, job_id) for job_id in first} == {"pending"}
    assert client.dead_letters.groups() == GroupPage([], 0)


def test_a_group_chooses_what_is_shown_retried_and_deleted(client):
    bury(client, 3, place="here")
    chosen = bury(client, 4, place="there")
    group = next(view.group for view in client.dead_letters.groups().groups if view.place == "there")
    page = client.dead_letters.page(group=group, limit=3)
    rest = client.dead_letters.page(group=group, cursor=page.next_cursor)
    assert sorted(job.job_id for job in page.jobs + rest.jobs) == sorted(chosen)
    assert (page.total_count, rest.next_cursor) == (4, None)
    assert client.dead_letters.page(group=group, job_type="report").total_count == 0
    assert client.dead_letters.page(group=group, job_type="report").jobs == []
    assert client.dead_letters.retry_all(group=group, limit=1) == 1
    assert client.dead_letters.discard_all(group=group) == 3
    assert client.dead_letters.page().total_count == 3


def test_a_group_that_is_not_there_chooses_nothing(client):
    bury(client, 1)
    assert client.dead_letters.page(group="nothing").jobs == []
    assert client.dead_letters.discard_all(group="nothing") == 0


def test_finds_what_fits_among_more_groups_than_are_read_side_by_side(client):
    fitting = [bury(client, 1, place=f"line {number}")[0] for number in range(listing.MAX_MERGED + 1)]
    bury(client, 2, error="OSError")
    page = client.dead_letters.page(error="ValueError", limit=200)
    assert sorted(job.job_id for job in page.jobs) == sorted(fitting)
    assert page.total_count == len(fitting)
    assert client.dead_letters.retry_all(error="ValueError") == len(fitting)


def test_finds_and_counts_what_fits_when_there_are_too_many_groups_to_look_at(client, monkeypatch):
    monkeypatch.setattr(groups, "MAX_SEARCHED", 2)
    fitting = bury(client, 1, place="a") + bury(client, 1, place="b")
    bury(client, 2, error="OSError")
    page = client.dead_letters.page(error="ValueError")
    assert sorted(job.job_id for job in page.jobs) == sorted(fitting)
    assert page.total_count == 2


def test_a_listing_of_failed_jobs_reads_only_the_groups_of_the_type_it_wants(client, monkeypatch):
    monkeypatch.setattr(paging, "MAX_SCANNED", 10)
    wanted = bury(client, 3, job_type="report_generation")
    bury(client, 50)
    page = client.jobs(status="failed", job_type="report_generation")
    assert (sorted(job.job_id for job in page.jobs), page.next_cursor) == (sorted(wanted), None)


@pytest.mark.parametrize("limit", [0, 1001])
def test_refuses_a_number_of_groups_that_it_does_not_show(client, limit):
    with pytest.raises(InvalidJob, match="from 1 to 1000") as refused:
        client.dead_letters.groups(limit=limit)
    assert refused.value.field == "/limit"


def test_begins_a_retry_over_all_queues_that_share_its_rate_and_limit(client):
    bury(client, 6), bury(client, 3, queue="mail"), bury(client, 1, error="OSError")
    started = client.dead_letters.retry_gradually(error="ValueError", limit=8, canary=2, rate="8/s")
    assert started.total == 8
    mail, default = sorted(client.dead_letters.redrives(), key=lambda view: view.total)
    assert (default.queue, default.total, default.rate, mail.queue, mail.total, mail.rate) == (
        ("default", 6, "6/s", "mail", 2, "2/s")
    )
    assert {view.redrive_id for view in (default, mail)} == {started.redrive_id}
    assert (default.status, default.canary, default.retried, default.canaries) == ("canary", 2, 0, [])
    assert (default.error, default.type, default.group, default.finished_at) == ("ValueError", None, None, None)


def test_a_retry_that_is_stopped_leaves_the_rest_where_they_are(client):
    ids = bury(client, 3)
    started = client.dead_letters.retry_gradually(canary=1)
    client.server.run(client.server.queue("default").continue_redrives())
    assert client.dead_letters.stop_redrive(started.redrive_id) is True
    assert client.dead_letters.stop_redrive(started.redrive_id) is False
    (view,) = client.dead_letters.redrives()
    assert (view.status, view.retried, view.reason) == ("stopped", 1, "by an operator")
    # Those that died in the same millisecond have no order.
    (canary,) = view.canaries
    assert {job_id: state(client, job_id) for job_id in ids} == dict.fromkeys(ids, "failed") | {canary: "pending"}


def test_without_matching_dead_letters_no_redrive_starts(client):
    bury(client, 1)
    assert client.dead_letters.retry_gradually(job_type="report", canary=1) == ("", 0)
    assert client.dead_letters.redrives() == []
    with pytest.raises(RedriveNotFound, match="no redrive nothing"):
        client.dead_letters.stop_redrive("nothing")


@pytest.mark.parametrize(
    ("options", "field"), [({"canary": 101}, "/canary"), ({"rate": "fast"}, "/rate"), ({"rate": "0/s"}, "/rate")]
)
def test_refuses_a_redrive_that_could_never_continue(client, options, field):
    bury(client, 1)
    with pytest.raises(InvalidJob) as refused:
        client.dead_letters.retry_gradually(**options)
    assert refused.value.field == field
    assert client.dead_letters.redrives() == []


def test_those_of_a_tenant_are_listed_counted_grouped_retried_and_deleted_alone(client: Client) -> None:
    ids = {tenant: die(client, tenant, 3) for tenant in ("ann", "bob")}
    client.dead_letters.page()
    page = client.dead_letters.page(tenant="ann", limit=2)
    assert ([view.tenant for view in page.jobs], page.total_count) == (["ann", "ann"], 3)
    (group,) = client.dead_letters.groups(tenant="ann").groups
    assert (group.count, group.last_job_id) == (3, ids["ann"][-1])
    assert client.dead_letters.groups(tenant="eve").groups == []
    assert client.dead_letters.count(tenant="ann", group=group.group) == 3
    assert client.dead_letters.count(tenant="ann", error="KeyError") == 0
    assert client.dead_letters.retry_all(tenant="ann", error="ValueError", limit=1) == 1
    assert client.dead_letters.discard_all(tenant="ann", group=group.group) == 2
    assert [client.job(job_id).status for job_id in ids["bob"]] == ["failed"] * 3
    started = client.dead_letters.retry_gradually(tenant="bob", rate="100/s")
    assert started.total == 3
    assert [view.tenant for view in client.dead_letters.redrives()] == ["bob"]


def die(client: Client, tenant: str, count: int) -> list[str]:
    """Return dead letters of a tenant."""
    client.enqueue_many({"type": "email", "payload": {}, "tenant": tenant} for _ in range(count))
    worker = SeedingWorker(client)
    jobs = worker.fetch(count)
    for job in jobs:
        worker.dead_letter(job, "ValueError")
    return [job.id for job in jobs]
