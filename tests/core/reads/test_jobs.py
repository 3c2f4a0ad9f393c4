"""What jobs look like from outside, in each of their states."""

import time

import msgspec
import pytest

from gopher.base.priorities import PRIORITIES
from gopher.base.times import from_rfc3339
from gopher.client import Client
from gopher.errors import JobNotFound
from gopher.jobs.handlers import Registry, handler
from gopher.jobs.job import NewJob, job_id_from, new_job_id
from gopher.jobs.models import WorkerView
from gopher.queue.arguments import Request
from gopher.queue.idempotency import with_ids
from gopher.queue.presence import hide_worker, show_scheduler, show_worker
from tests.seeding import SeedingWorker


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def worker(client):
    client.server.register_queues("default")
    return SeedingWorker(client)


def value(raw):
    return msgspec.json.decode(raw)


def test_a_waiting_job(client):
    job_id = client.enqueue("email", {"to": "x"}, priority="high", metadata={"trace": 7})
    job = client.job(job_id)
    assert (job.job_id, job.type, job.status) == (job_id, "email", "pending")
    assert (job.queue, job.priority) == ("default", "high")
    assert (value(job.payload), value(job.metadata)) == ({"to": "x"}, {"trace": 7})
    assert (job.attempts, job.max_retries, job.timeout) == (0, 3, 30.0)
    assert job.created_at.endswith("Z")
    unknown = (job.execute_at, job.started_at, job.finished_at, job.duration, job.worker, job.progress, job.error)
    assert unknown == (None,) * 7
    assert (bytes(job.result), job.history) == (b"null", [])


def test_a_scheduled_job_shows_when_it_is_due(client):
    before = time.time()
    job = client.job(client.enqueue("email", {}, delay="1h"))
    assert job.status == "scheduled"
    assert before + 3595 < seconds(job.execute_at) < before + 3610


def seconds(text):
    return from_rfc3339(text) / 1000


def test_a_running_job_shows_its_worker_and_progress(client, worker):
    job_id = client.enqueue("email", {})
    (given,) = worker.fetch()
    client.server.run(worker.queue.report([(job_id, given.token, b'{"fraction":0.5}', b"")]))
    job = client.job(job_id)
    assert (job.status, job.worker, job.attempts) == ("processing", worker.name, 1)
    assert value(job.progress) == {"fraction": 0.5}
    assert job.started_at is not None
    assert [(row.attempt, row.outcome, row.ended_at) for row in job.history] == [(1, "running", None)]


def test_a_completed_job_has_its_result_and_how_long_it_took(client, worker):
    job_id = client.enqueue("email", {})
    worker.complete(worker.fetch(), result=b'{"n":9007199254740993}')
    job = client.job(job_id)
    assert (job.status, job.duration, job.progress) == ("completed", 0.0125, None)
    assert bytes(job.result) == b'{"n":9007199254740993}'
    assert job.finished_at is not None
    assert [row.outcome for row in job.history] == ["completed"]


def test_a_job_that_waits_for_its_next_attempt(client, worker):
    job_id = client.enqueue("email", {})
    worker.retry(worker.fetch()[0], delay=3600.0)
    job = client.job(job_id)
    assert (job.status, value(job.error)["type"]) == ("retrying", "ValueError")
    assert time.time() + 3500 < seconds(job.execute_at)
    assert [(row.attempt, row.outcome, row.error["type"]) for row in job.history] == [(1, "failed", "ValueError")]


def test_a_dead_letter(client, worker):
    job_id = client.enqueue("email", {})
    worker.dead_letter(worker.fetch()[0])
    job = client.job(job_id)
    assert (job.status, len(job.history)) == ("failed", 1)
    assert job.finished_at is not None


def test_a_cancelled_job(client):
    job_id = client.enqueue("email", {})
    client.cancel(job_id)
    assert client.job(job_id).status == "cancelled"


def test_a_job_that_is_too_late_is_shown_as_expired_before_anybody_looks(client):
    job_id = client.enqueue("email", {}, expires_in=0.01)
    time.sleep(0.02)
    assert client.job(job_id).status == "expired"


def test_options_come_from_the_job_then_its_handler_then_the_settings(redis_url, namespace):
    registry = Registry()

    @handler("email", timeout="7s", max_retries=1, into=registry)
    def email(job, payload: dict):
        """Send a mail."""

    with Client(redis_url, namespace=namespace, registry=registry) as client:
        by_handler = client.job(client.enqueue("email", {}))
        by_job = client.job(client.enqueue("email", {}, timeout="9s", max_retries=0))
    assert (by_handler.timeout, by_handler.max_retries) == (7.0, 1)
    assert (by_job.timeout, by_job.max_retries) == (9.0, 0)


def test_a_job_is_found_in_whatever_queue(client):
    job_id = client.enqueue("email", {}, queue="mail")
    client.enqueue("email", {})
    assert client.inspector.find(job_id) == "mail"
    assert client.job(job_id).queue == "mail"
    assert client.inspector.find(new_job_id()) is None
    assert client.inspector.job(new_job_id()) is None


def test_throttled_jobs_of_very_many_keys_are_counted_without_reading_their_lists(client):
    """A limit for each key is throttled in a list for each key."""

    def waiting(keys, priority):
        jobs = ({"type": "t", "payload": {}, "limit_key": f"k{number}", "priority": priority} for number in keys)
        client.enqueue_many(each for job in jobs for each in (job, job))

    client.enqueue("other", {}, priority="high")
    client.flow.set_limit("t", "1/h", 1, None, per_key=True)
    waiting(range(90), "normal")
    waiting(range(90, 150), "low")
    worker = SeedingWorker(client)
    while worker.fetch(500):
        pass
    (stats,) = client.stats().queues.values()
    assert (stats.waiting, stats.processing) == (150, 151)
    assert [stats.priorities[name].waiting for name in PRIORITIES] == [0, 90, 60]
    assert 0 < stats.oldest_waiting_age < 60
    before = client.server.client.info("stats")["total_commands_processed"]
    client.stats()
    assert client.server.client.info("stats")["total_commands_processed"] - before < 300


def test_a_job_whose_id_does_not_tell_its_queue_is_found_among_many_without_asking_each(client):
    def commands(act):
        before = client.server.client.info("stats")["total_commands_processed"]
        act()
        return client.server.client.info("stats")["total_commands_processed"] - before - 1

    jobs = with_ids(
        [NewJob(new_job_id(), "email", b"{}", queue=f"q{number}") for number in range(300)],
        Request("key", "digest", "1"),
        1_790_000_000_000,
    )
    client.store(jobs)
    for job in (jobs[0], jobs[123], jobs[299]):
        assert client.inspector.find(job.id) == job.queue
        assert commands(lambda job=job: client.job(job.id)) <= 45
        assert client.job(job.id).queue == job.queue
    with pytest.raises(JobNotFound):
        client.job(new_job_id())
    assert commands(lambda: client.inspector.find(new_job_id("none"))) <= 5
    # Whether a job exists that the caller may not see, the number of commands does not tell.
    # The fewest: a process of another test may use the server meanwhile.
    hidden, missing = (
        min(commands(lambda job_id=job_id: client.inspector.place(job_id, lambda _: False)) for _ in range(5))
        for job_id in (jobs[123].id, job_id_from(1_790_000_000_000, "none"))
    )
    assert hidden == missing <= 45
    assert client.inspector.place(jobs[123].id, lambda _: True).queue == "q123"


def test_nothing_is_found_where_there_is_no_queue(client):
    assert client.inspector.find(new_job_id()) is None
    assert client.inspector.logs(new_job_id()) is None
    assert client.stats().queues == {}


def test_jobs_that_are_gone_are_omitted(client):
    job_id = client.enqueue("email", {})
    places = [("default", new_job_id()), ("default", job_id), ("nowhere", job_id)]
    assert [job.job_id for job in client.inspector.views(places)] == [job_id]


def test_logs_of_all_attempts_in_order(client, worker):
    job_id = client.enqueue("email", {})
    for attempt in range(1, 12):
        (job,) = worker.fetch()
        client.server.run(worker.queue.report([(job_id, job.token, b"", f'[[{attempt}000,"at {attempt}"]]'.encode())]))
        worker.retry(job, delay=0.0)
        client.server.run(worker.queue.promote())
    lines = client.logs(job_id)
    assert [line.line for line in lines] == [f"at {attempt}" for attempt in range(2, 12)]
    assert lines[0].time == "1970-01-01T00:00:02.000Z"


# Figures


def test_figures_add_up(client, worker):
    client.enqueue("email", {}, delay="1h")
    for priority in ("high", "normal", "low"):
        client.enqueue("email", {}, priority=priority)
        client.enqueue("report", {}, priority=priority)
    first, second, third = worker.fetch(3)
    worker.complete([first])
    worker.retry(second)
    stats = client.stats()
    queue = stats.queues["default"]
    assert (queue.waiting, queue.processing, queue.scheduled, queue.retrying, queue.failed) == (3, 1, 1, 1, 0)
    assert {name: each.waiting for name, each in queue.priorities.items()} == {"high": 0, "normal": 1, "low": 2}
    assert (queue.total_enqueued, queue.total_dequeued) == (7, 3)
    assert queue.totals == {"completed": 1, "failed": 0, "retried": 1, "cancelled": 0, "expired": 0}
    assert (stats.queue_size, stats.total_enqueued, stats.total_dequeued) == (3, 7, 3)
    worker.dead_letter(third)
    assert client.stats().queues["default"].failed == 1


def test_figures_are_of_all_queues_and_of_each(client):
    client.enqueue("email", {}, queue="mail")
    client.enqueue("email", {})
    stats = client.stats()
    assert stats.queue_size == 2
    assert {name: each.waiting for name, each in stats.queues.items()} == {"default": 1, "mail": 1}


def test_ids_of_cancelled_jobs_in_a_list_are_not_waiting(client):
    ids = client.enqueue_many({"type": "email", "payload": {}} for _ in range(1005))
    for job_id in ids[500:510]:
        client.cancel(job_id)
    assert client.stats().queues["default"].waiting == 995


def test_throttled_jobs_wait(client, worker):
    client.flow.pause_type("email")
    client.enqueue("email", {})
    assert worker.fetch() == []
    assert client.stats().queues["default"].waiting == 1


def test_throttled_jobs_have_an_age_too(client, worker):
    client.flow.set_limit("email", "1/h", 1, None)
    ids = [client.enqueue("email", {}) for _ in range(3)]
    worker.fetch(3)
    client.server.client.hincrby(client.server.keys.for_queue("default").job(ids[1]), "since", -60_000)
    assert 59 <= client.stats().queues["default"].oldest_waiting_age <= 120


def test_the_age_is_that_of_the_oldest_that_waits(client):
    assert client.enqueue("email", {}, priority="low")
    keys = client.server.keys.for_queue("default")
    job_id = client.server.client.lindex(keys.next, 0).decode()
    client.server.client.hset(keys.job(job_id), "since", client.inspector.now() - 60_000)
    client.enqueue("email", {})
    stats = client.stats().queues["default"]
    assert 59 <= stats.oldest_waiting_age <= 120
    assert 59 <= stats.priorities["low"].oldest_waiting_age <= 120
    assert stats.priorities["normal"].oldest_waiting_age < 30


def test_counters_and_latencies_by_type(client, worker):
    client.enqueue("email", {})
    worker.complete(worker.fetch())
    assert client.inspector.totals("default") == {
        "enqueued:email:normal": 1,
        "dequeued:email:normal": 1,
        "completed:email": 1,
    }
    buckets = client.inspector.histograms("default", ["email", "nothing"])
    assert buckets["email"]["run:8"] == 1
    assert buckets["email"]["run:sum_us"] == 12_500
    assert buckets["nothing"] == {}


# Who is there


def show(client, worker_id, started_at, ttl=60.0):
    view = WorkerView(worker_id, "host", 1, "1.0", ["default"], ["email"], [], 0, 0, started_at, started_at)
    record = msgspec.json.encode(view)
    for command in show_worker(client.server.keys, worker_id, record, client.inspector.now(), ttl):
        client.server.client.execute_command(*command.words)


def test_live_workers_are_listed_the_longest_running_first(client):
    show(client, "w2", "2026-01-02T00:00:00Z")
    show(client, "w1", "2026-01-01T00:00:00Z")
    assert [view.id for view in client.workers()] == ["w1", "w2"]


def test_a_worker_that_was_not_heard_of_is_gone_and_so_is_one_that_left(client):
    show(client, "w1", "2026-01-01T00:00:00Z", ttl=0.01)
    show(client, "w2", "2026-01-01T00:00:00Z")
    time.sleep(0.05)
    assert [view.id for view in client.workers()] == ["w2"]
    for command in hide_worker(client.server.keys, "w2"):
        client.server.client.execute_command(*command.words)
    assert client.workers() == []


def test_schedulers_are_counted(client):
    assert client.inspector.schedulers() == 0
    for name, ttl in (("s1", 60.0), ("s2", -1.0)):
        commands = show_scheduler(client.server.keys, name, client.inspector.now(), ttl)
        client.server.client.execute_command(*commands[0].words)
    assert client.inspector.schedulers() == 1
