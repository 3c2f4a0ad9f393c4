"""Pages of jobs: newest first over all places, right while jobs move, and as cheap with a million jobs as with ten."""

import random
import time

import pytest

from gopher.client import Client
from gopher.errors import InvalidJob
from gopher.jobs.job import NewJob, new_job_id
from gopher.reads.paging import MAX_SCANNED, Cursor
from gopher.reads.scan import pending_entries
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def worker(client):
    client.server.register_queues("default")
    return SeedingWorker(client)


def seed(client, count, job_type="email", **options):
    """Store jobs one call each, so that each has its own place in time."""
    return [client.enqueue(job_type, {"n": number}, **options) for number in range(count)]


def seed_in_bulk(client, count, job_type="email", due=""):
    jobs = [NewJob(new_job_id(), job_type, b'{"payload":{}}', due=due) for _ in range(count)]
    for start in range(0, count, 1000):
        client.store(jobs[start : start + 1000])
    return [job.id for job in jobs]


def ids(page):
    return [job.job_id for job in page.jobs]


def walk(client, between=lambda: None, **options):
    """Read all pages; return the ids in the order they came."""
    found, cursor = [], None
    while True:
        page = client.jobs(cursor=cursor, **options)
        found += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            return found
        between()


def move_times(client, place, step=1):
    """Give what stands in a pending list times one `step` ms apart, the left one newest."""
    keys, redis = client.server.keys.for_queue("default"), client.server.client
    now = int(time.time() * 1000)
    for index, job_id in enumerate(redis.lrange(keys.prefix + place, 0, -1)):
        redis.hset(keys.job(job_id.decode()), "since", now - index * step)


def test_an_empty_installation_has_one_empty_page(client):
    page = client.jobs()
    assert page.jobs == []
    assert page.next_cursor is None


def test_the_newest_waiting_job_comes_first(client):
    (old,) = seed(client, 1)
    time.sleep(0.003)  # another millisecond: what is ordered here is time
    (new,) = seed(client, 1)
    assert ids(client.jobs()) == [new, old]


def test_a_last_page_that_is_exactly_full_has_no_next_one(client):
    seed(client, 4)
    first = client.jobs(limit=2)
    second = client.jobs(limit=2, cursor=first.next_cursor)
    assert len(second.jobs) == 2
    assert second.next_cursor is None


def test_each_status_shows_the_jobs_in_it_and_no_others(client, worker):
    completed, failed, retrying, processing = seed(client, 4, priority="high")
    jobs = {job.id: job for job in worker.fetch(4)}
    worker.complete([jobs[completed]])
    worker.dead_letter(jobs[failed])
    worker.retry(jobs[retrying])
    pending, cancelled = seed(client, 2)
    client.cancel(cancelled)
    (scheduled,) = seed(client, 1, delay="1h")
    (short_lived,) = seed(client, 1, expires_in=0.001, priority="high")
    time.sleep(0.01)
    worker.fetch(0)
    expected = {
        "completed": [completed],
        "failed": [failed],
        "retrying": [retrying],
        "processing": [processing],
        "cancelled": [cancelled],
        "scheduled": [scheduled],
        "pending": [pending],
    }
    assert {status: ids(client.jobs(status=status)) for status in expected} == expected
    assert {job.status for job in client.jobs().jobs} >= {*expected}
    assert len(ids(client.jobs())) == 8
    assert short_lived not in ids(client.jobs(status="pending"))


def test_an_expired_job_is_listed_as_expired_once_a_worker_passed_over_it(client, worker):
    (gone,) = seed(client, 1, expires_in=0.001)
    time.sleep(0.005)
    assert worker.fetch(1) == []
    assert ids(client.jobs(status="expired")) == [gone]
    assert ids(client.jobs(status="completed")) == []


def test_pages_of_all_states_together_are_in_order_and_hold_each_job_once(client, worker):
    stored = seed(client, 40) + seed(client, 20, delay="1h") + seed(client, 10, priority="low")
    jobs = worker.fetch(15)
    worker.complete(jobs[:5])
    for job in jobs[5:8]:
        worker.dead_letter(job)
    for job in jobs[8:11]:
        worker.retry(job)
    found = walk(client, limit=7)
    assert sorted(found) == sorted(stored)


def test_jobs_of_several_queues_share_one_list(client):
    stored = seed(client, 5) + seed(client, 5, queue="mail") + seed(client, 5, queue="other")
    assert sorted(walk(client, limit=4)) == sorted(stored)
    assert len(ids(client.jobs(queue="mail"))) == 5
    assert ids(client.jobs(queue="unused")) == []


def test_a_type_is_found_among_many_others(client):
    seed(client, 300)
    (wanted,) = seed(client, 1, job_type="report_generation")
    seed(client, 300)
    assert walk(client, job_type="report_generation", limit=10) == [wanted]


def test_jobs_of_one_millisecond_are_neither_lost_nor_repeated(client):
    stored = seed_in_bulk(client, 700)
    assert sorted(walk(client, limit=33)) == sorted(stored)


def test_jobs_due_at_the_same_time_are_neither_lost_nor_repeated(client):
    stored = seed_in_bulk(client, 700, due=str(int(time.time() * 1000) + 3_600_000))
    assert walk(client, limit=33) == sorted(stored, reverse=True)


def test_pages_continue_after_the_last_job_seen_has_left(client, worker):
    stored = seed(client, 30, delay="1h")
    first = client.jobs(limit=10)
    client.cancel(ids(first)[-1])
    rest = walk(client, limit=10, status="scheduled")
    second = ids(client.jobs(limit=10, cursor=first.next_cursor, status="scheduled"))
    assert second == rest[9:19]
    assert len(stored) == 30


def test_what_was_there_all_the_time_is_seen_once_while_new_jobs_come_and_old_ones_go(client, worker):
    stored = seed(client, 200)
    draw = random.Random(7)

    def traffic():
        seed(client, 9)
        worker.complete(worker.fetch(2))
        for _ in range(2):
            client.server.run(worker.queue.cancel(draw.choice(stored)))

    found = walk(client, between=traffic, limit=10)
    assert len(found) == len(set(found))
    still_waiting = {job for job in stored if client.inspector.state("default", job) == "pending"}
    assert still_waiting <= set(found)


def test_a_rescued_job_at_the_head_hides_none_behind_it(client, worker):
    stored = seed(client, 40)
    move_times(client, "pending:normal")
    for job in reversed(worker.fetch(5)):
        client.server.run(worker.queue.requeue(worker.name, job.id, job.token))
    assert sorted(walk(client, limit=6)) == sorted(stored)


def test_positions_never_rise_along_a_list_that_is_out_of_order(client, worker):
    seed(client, 10)
    move_times(client, "pending:normal")
    for job in reversed(worker.fetch(3)):
        client.server.run(worker.queue.requeue(worker.name, job.id, job.token))
    keys = client.server.keys.for_queue("default")
    positions = [each.position for each in pending_entries(client.server, keys, "pending:normal", None, [])]
    assert len(positions) > 5
    assert positions == sorted(positions, reverse=True)


def test_a_late_promotion_hides_none_behind_it(client):
    late = seed(client, 5, delay=0.001)
    stored = seed(client, 30)
    move_times(client, "pending:normal")
    client.server.run(client.server.queue("default").promote())
    newer = seed(client, 10)
    assert sorted(walk(client, limit=6)) == sorted([*late, *stored, *newer])


def test_a_cancelled_job_whose_id_is_still_in_its_list_is_shown_only_as_cancelled(client):
    stored = seed_in_bulk(client, 1200)
    client.cancel(stored[600])
    assert client.server.client.llen(client.server.keys.for_queue("default").pending("normal")) > 1100
    assert stored[600] not in walk(client, status="pending", limit=500)
    assert ids(client.jobs(status="cancelled")) == [stored[600]]
    assert walk(client, limit=500).count(stored[600]) == 1


def test_a_page_whose_list_was_consumed_meanwhile_is_the_end(client, worker):
    seed(client, 30)
    move_times(client, "pending:normal")
    first = client.jobs(limit=10, status="pending")
    worker.complete(worker.fetch(25))
    assert ids(client.jobs(limit=10, status="pending", cursor=first.next_cursor)) == []


def test_a_search_that_finds_nothing_stops_after_a_bounded_scan_and_continues_from_there(client):
    (wanted,) = seed(client, 1, job_type="report_generation")
    seed_in_bulk(client, MAX_SCANNED + 500)
    first = client.jobs(job_type="report_generation")
    assert first.jobs == []
    assert first.next_cursor
    assert ids(client.jobs(job_type="report_generation", cursor=first.next_cursor)) == [wanted]


def test_a_deep_page_of_a_long_list_is_found_without_reading_it(client):
    stored = seed_in_bulk(client, 12_000)
    move_times(client, "pending:normal")
    client.server.client.hset(client.server.keys.for_queue("default").job(stored[0]), "since", 1)
    found, cursor = [], None
    while cursor is None or len(found) < 6000:
        page = client.jobs(limit=500, cursor=cursor)
        found, cursor = found + ids(page), page.next_cursor
    redis = client.server.client
    before = redis.info("commandstats")
    deep = client.jobs(limit=10, cursor=cursor)
    after = redis.info("commandstats")
    calls = sum(stats["calls"] for stats in after.values()) - sum(stats["calls"] for stats in before.values())
    assert ids(deep) == stored[::-1][6000:6010]
    assert calls < 1500


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"status": "done"}, "/status"),
        ({"limit": 0}, "/limit"),
        ({"limit": 501}, "/limit"),
        ({"queue": "Bad Queue"}, "/queue"),
        ({"cursor": "???"}, "/cursor"),
        ({"cursor": "bm90IGpzb24"}, "/cursor"),
        ({"cursor": "é"}, "/cursor"),
    ],
)
def test_refuses_what_it_can_not_read(client, options, field):
    with pytest.raises(InvalidJob) as refused:
        client.jobs(**options)
    assert refused.value.field == field


def test_a_cursor_fits_into_a_url_however_many_queues_there_are(client):
    for number in range(60):
        seed(client, 3, queue=f"a-rather-long-name-of-a-queue-{number}")
    cursor = client.jobs(limit=170).next_cursor
    assert cursor
    assert len(cursor) < 4000
    assert Cursor.read(cursor).text() == cursor
