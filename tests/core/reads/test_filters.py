"""Lists of jobs by tag, error text and time of creation, and in the order of creation or of the last change."""

import json
import random

import msgspec
import pytest

from gopher.base.times import to_rfc3339
from gopher.client import Client
from gopher.errors import InvalidJob
from gopher.jobs.job import NewJob, created_ms, job_id_from
from gopher.queue.arguments import Failure
from gopher.reads import paging, timed
from gopher.reads.scan import Position
from tests.core.reads.test_listing import ids, seed, seed_in_bulk, walk
from tests.helpers import wait_until
from tests.seeding import SeedingWorker

HOUR = 3_600_000


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def worker(client):
    client.server.register_queues("default")
    return SeedingWorker(client)


def store_aged(client, age, seed="", **options):
    """Store a job whose id was made `age` milliseconds ago."""
    job_id = job_id_from(client.inspector.now() - age, f"{age} {seed}")
    client.store([NewJob(job_id, "email", b'{"payload":{}}', **options)])
    return job_id


def bury(client, worker, error):
    (job_id,) = seed(client, 1, priority="high")
    (job,) = worker.fetch(1)
    failure = Failure(job.id, job.token, 1.0, error, b"{}", b"", "")
    client.server.run(worker.queue.dead_letter(worker.name, failure, "E"))
    return job_id


def test_jobs_are_found_by_tag_in_any_state_and_queue(client, worker):
    done, *_ = seed(client, 3, tags=["invoice", "customer:42"])
    worker.complete(worker.fetch(1))
    other = client.enqueue("email", {}, queue="mail", tags=["customer:42"], delay="1h")
    # Their payloads and metadata mention it.
    client.enqueue("email", {"tags": ["customer:42"], "text": '"tags":["customer:42"]'})
    client.enqueue("email", {}, metadata={"tags": ["customer:42"]}, tags=["customer:4", "customer:421"])
    found = walk(client, tag="customer:42", limit=2)
    assert len(found) == 4
    assert {done, other} < {*found}
    assert ids(client.jobs(tag="customer:42", status="completed")) == [done]
    assert ids(client.jobs(tag="customer:42", queue="mail")) == [other]
    assert ids(client.jobs(tag="customer:4")) != ids(client.jobs(tag="customer:421", queue="mail"))


def test_jobs_are_found_by_a_part_of_their_last_error_in_any_case(client, worker):
    missing = bury(client, worker, b'{"type":"FileNotFoundError","message":"no such picture: caf\\u00e9/\\"A\\".jpg"}')
    bury(client, worker, b'{"type":"ValueError","message":"it broke","traceback":"no such picture"}')
    seed(client, 2)
    for text in ("no such picture", "NO SUCH", "filenotfounderror: no", 'café/"a"', '/"'):
        assert ids(client.jobs(error=text)) == [missing], text
    assert ids(client.jobs(error="no such picture", status="pending")) == []
    assert ids(client.jobs(error="such.picture")) == []


@pytest.mark.parametrize("encode", [msgspec.json.encode, lambda error: json.dumps(error).encode()])
def test_jobs_are_found_by_their_last_error_as_it_is_shown(client, worker, encode):
    messages = ("no such picture", 'no "such" file', r"C:\pictures\a b", "line one\n line two", "SON DENİZ", " blanks ")
    buried = [bury(client, worker, encode({"type": "ValueError", "message": message})) for message in messages]
    for job_id, message in zip(buried, messages, strict=True):
        for text in (f"ValueError: {message}", f": {message}", message):
            assert ids(client.jobs(error=text)) == [job_id], text
    assert {*ids(client.jobs(error="ValueError: "))} == {*ids(client.jobs(error=" "))} == {*buried}


def test_jobs_are_found_by_the_time_of_their_creation(client, worker):
    old, middle, new = (store_aged(client, age) for age in (3 * HOUR, 2 * HOUR, 0))
    (due,) = [store_aged(client, 2 * HOUR, "due", due=str(client.inspector.now() + HOUR))]
    assert {*ids(client.jobs(created_after="150m"))} == {middle, due, new}
    assert {*ids(client.jobs(created_before="150m"))} == {old}
    assert {*ids(client.jobs(created_after="150m", created_before="1h"))} == {middle, due}
    assert ids(client.jobs(created_after="2000-01-01T00:00:00Z", created_before="2001-01-01T00:00:00Z")) == []
    # By when it was created, not by when it ended.
    worker.complete([job for job in worker.fetch(3) if job.id == old])
    assert ids(client.jobs(created_before="150m", status="completed")) == [old]


def test_a_job_whose_id_was_chosen_was_created_when_its_record_says(client):
    old = store_aged(client, HOUR)
    for chosen in ("ffffffff-ffff-4fff-bfff-ffffffffffff", "00000000-0000-4000-8000-000000000000"):
        assert client.enqueue("email", {}, job_id=chosen) == chosen
        assert {job.job_id for job in client.jobs(created_after="30m").jobs} == {chosen}
        assert ids(client.jobs(created_before="30m")) == [old]
        # In another millisecond: what is ordered here is time.
        created = client.inspector.now()
        wait_until(lambda created=created: client.inspector.now() > created + 1)
        newest = client.enqueue("email", {})
        assert ids(client.jobs(sort="created", limit=2)) == [newest, chosen]
        client.cancel(chosen)
        client.cancel(newest)
        client.server.client.delete(*(client.server.keys.for_queue("default").job(each) for each in (chosen, newest)))


def test_what_changed_before_a_time_is_not_read_to_find_what_was_created_after_it(client, worker):
    long_ago = client.inspector.now() - 2 * HOUR
    keys = client.server.keys.for_queue("default")
    for job_id in seed_in_bulk(client, 500):
        client.server.client.hset(keys.job(job_id), "since", long_ago)
    before = client.server.client.info("commandstats")
    assert ids(client.jobs(created_after="1h", tag="x")) == []
    after = client.server.client.info("commandstats")
    reads = [sum(stats["calls"] for name, stats in each.items() if "hmget" in name) for each in (before, after)]
    assert reads[1] - reads[0] < 50


def test_the_future_does_not_come_first(client, worker):
    (later,) = seed(client, 1, delay="30d")
    retried = seed(client, 1)
    worker.retry(*worker.fetch(1))
    (new,) = seed(client, 1)
    assert ids(client.jobs())[0] == new
    assert {*ids(client.jobs())} == {later, *retried, new}


def test_jobs_are_listed_by_creation_or_by_last_change(client, worker):
    first, second, third = (store_aged(client, age) for age in (3000, 2000, 1000))
    jobs = {job.id: job for job in worker.fetch(2)}
    worker.complete([jobs[second]])
    worker.complete([jobs[first]])
    delayed = store_aged(client, 1500, due=str(client.inspector.now() + HOUR))
    assert ids(client.jobs(sort="created")) == [third, delayed, second, first]
    assert walk(client, sort="created", limit=1) == [third, delayed, second, first]
    assert walk(client, sort="created", limit=1, status="completed") == [second, first]


@pytest.mark.parametrize("sort", ["changed", "created"])
def test_pages_of_many_states_hold_each_job_once(client, worker, sort, monkeypatch):
    monkeypatch.setattr(paging, "SORTED_TOGETHER", 40)
    monkeypatch.setattr(timed, "SORTED", 20)
    monkeypatch.setattr(timed, "_AT_LEAST", 5)
    stored = [*seed_in_bulk(client, 90), *seed(client, 60)]
    now, draw = client.inspector.now(), random.Random(3)
    stored += [store_aged(client, n, "due", due=str(now + draw.randrange(1, 30) * HOUR)) for n in range(60)]
    jobs = worker.fetch(90)
    worker.complete(jobs[:50])
    for job in jobs[50:80]:
        worker.retry(job)
    found = walk(client, sort=sort, limit=7)
    assert len(found) == len(stored)
    assert {*found} == {*stored}


def test_the_order_of_creation_is_exact_among_the_jobs_that_changed_last(client, worker):
    draw = random.Random(5)
    stored = [store_aged(client, draw.randrange(HOUR), str(number)) for number in range(120)]
    jobs = worker.fetch(60)
    draw.shuffle(jobs)
    for job in jobs:
        worker.complete([job])
    newest_first = sorted(stored, key=lambda job_id: Position(created_ms(job_id), job_id), reverse=True)
    assert walk(client, sort="created", limit=7) == newest_first


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"created_after": "yesterday"}, "/created_after"),
        ({"created_before": "2026-01-01"}, "/created_before"),
        ({"sort": "size"}, "/sort"),
        ({"tag": "two words"}, "/tag"),
    ],
)
def test_refuses_what_it_can_not_read(client, options, field):
    with pytest.raises(InvalidJob) as refused:
        client.jobs(**options)
    assert refused.value.field == field


def test_a_job_that_waits_for_others_has_no_time_at_which_it_is_due(client):
    (parent,) = seed(client, 1)
    child = client.enqueue("email", {}, after=[parent])
    due = to_rfc3339(client.inspector.now() + HOUR)
    delayed = client.enqueue("email", {}, after=[parent], execute_at=due)
    assert client.job(child).execute_at is None
    assert client.job(delayed).execute_at == due
