"""Bounds on waiting jobs: exact whatever a job does, and of no cost where there is none."""

import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import InvalidJob, OutcomeUnknown, QueueLimit
from gopher.jobs.job import NewJob, new_job_id, new_job_ids
from gopher.jobs.owners import Submitter
from gopher.jobs.submission import InvalidBatch
from gopher.queue.idempotency import request_for
from tests.seeding import SeedingWorker

ANN, BOB = Submitter("ann", sees_all=False), Submitter("bob smith", sees_all=False)


@pytest.fixture
def bounded(redis_url, namespace):
    """Clients of one installation by their bounds: `bounded(3)` is for a queue, `bounded(None, 3)` for an owner."""
    opened = []

    def make(queue=None, owner=None):
        settings = Settings(redis_url=redis_url, namespace=namespace, max_waiting=queue, max_waiting_per_owner=owner)
        opened.append(Client(settings=settings))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def job(queue="default", **options):
    return NewJob(new_job_id(queue), options.pop("job_type", "email"), b'{"payload":{}}', queue, **options)


def submit(client, *jobs, submitter=ANN, **more):
    return [each.job_id for each in client.store(jobs or [job()], submitter=submitter, **more)]


def room(client, submitter=ANN, **options):
    """Return how many jobs still fit, by trying it; they are taken back."""
    ids = []
    try:
        for _ in range(20):
            ids += submit(client, job(**options), submitter=submitter)
    except QueueLimit:
        return len(ids)
    finally:
        for each in ids:
            client.cancel(each)
    raise AssertionError("there is no bound")


BOUNDS = [(5, None), (None, 5), (9, 5), (5, 9)]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_as_many_jobs_wait_as_may_and_no_more(bounded, bounds):
    client = bounded(*bounds)
    assert room(client) == 5
    submit(client, *(job() for _ in range(4)))
    assert room(client) == 1
    submit(client)
    with pytest.raises(QueueLimit) as raised:
        submit(client)
    assert raised.value.field == "/queue"
    assert "GOPHER_MAX_WAITING" in raised.value.details
    assert client.stats().queues["default"].waiting == 5


def test_the_bound_of_an_owner_concerns_neither_others_nor_trusted_jobs_nor_other_queues(bounded):
    client = bounded(None, 3)
    submit(client, *(job() for _ in range(3)))
    assert room(client) == 0
    assert room(client, BOB) == 3
    assert room(client, queue="other") == 3
    client.enqueue_many({"type": "email", "payload": {}} for _ in range(50))
    assert room(client, BOB) == 3


#: What a job may do, as (what happens, what is then free of 5, of which one was taken). A worker has fetched it before
#: where it says so.
def fetched(worker, _client, _job_id):
    return worker.fetch()[0]


LIVES = {
    "starts": lambda w, c, i: w.fetch(),
    "completes": lambda w, c, i: w.complete(w.fetch()),
    "is cancelled": lambda w, c, i: c.cancel(i),
    "is purged": lambda w, c, i: c.purge("default", "pending"),
    "dies": lambda w, c, i: w.dead_letter(w.fetch()[0], "ValueError"),
}
STAYS = {
    "is retried": lambda w, c, i: w.retry(w.fetch()[0]),
    "is given back": lambda w, c, i: c.server.run(w.queue.requeue(w.name, i, w.fetch()[0].token)),
    "is snoozed": lambda w, c, i: c.server.run(w.queue.requeue(w.name, i, w.fetch()[0].token, 60.0)),
    "is throttled": lambda w, c, i: c.server.run(w.queue.throttle(w.name, i, w.fetch()[0].token, 60.0)),
    "is redriven": lambda w, c, i: (w.dead_letter(w.fetch()[0], "ValueError"), c.dead_letters.retry(i)),
}


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("what", [*LIVES, *STAYS])
def test_a_job_counts_while_it_waits(bounded, what, bounds):
    client = bounded(*bounds)
    (job_id,) = submit(client)
    worker = SeedingWorker(client)
    assert room(client) == 4
    {**LIVES, **STAYS}[what](worker, client, job_id)
    assert room(client) == (5 if what in LIVES else 4)


TIMED = {
    "scheduled": {"due": "+60000"},
    "expiring": {"expires": "+60000"},
    "unique": {"unique_key": "k"},
    "limited": {"limit_key": "tenant"},
    "kept": {"retention": 60.0},
}


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("options", TIMED.values(), ids=TIMED)
def test_a_job_of_any_options_counts_until_it_is_cancelled(bounded, options, bounds):
    client = bounded(*bounds)
    (job_id,) = submit(client, job(**options))
    assert room(client) == 4
    client.cancel(job_id)
    assert room(client) == 5


@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_job_that_expires_does_not_count_once_a_worker_has_come_to_it(bounded, bounds):
    client = bounded(*bounds)
    submit(client, job(expires="+1"))
    worker = SeedingWorker(client)
    # The job is in `next`: a fetch finds that it is too late for it.
    while worker.fetch() or client.stats().queues["default"].waiting:
        pass
    assert room(client) == 5


@pytest.mark.parametrize("bounds", BOUNDS)
def test_jobs_that_are_throttled_by_their_limit_count_until_they_start(bounded, bounds):
    client = bounded(*bounds)
    SeedingWorker(client)
    client.flow.set_limit("email", None, None, 1)
    submit(client, *(job() for _ in range(4)))
    worker = SeedingWorker(client)
    (first,) = worker.fetch(10)
    assert room(client) == 2
    worker.complete([first])
    client.server.run(worker.queue.promote())
    (second,) = worker.fetch(10)
    assert room(client) == 3
    assert client.purge("default", "pending") == 2
    assert room(client) == 5
    worker.complete([second])
    submit(client, *(job() for _ in range(3)))
    (third,) = worker.fetch(10)
    for each in client.jobs(status="pending").jobs:
        client.cancel(each.job_id)
    assert room(client) == 5
    assert third


@pytest.mark.parametrize("bounds", BOUNDS)
def test_jobs_that_wait_for_another_count_until_they_end_with_it(bounded, bounds):
    client = bounded(*bounds)
    parent = job()
    submit(client, parent)
    submit(client, job(after=(parent.id,)), job(after=(parent.id,), on_parent_failure="run"))
    assert room(client) == 2
    worker = SeedingWorker(client)
    worker.dead_letter(worker.fetch()[0], "ValueError")
    # One has failed with it, the other may start.
    assert room(client) == 4
    # One whose parent has failed already never waits.
    submit(client, job(after=(parent.id,)))
    assert room(client) == 4


@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_jobs_of_a_lost_worker_count_again(bounded, bounds):
    client = bounded(*bounds)
    submit(client)
    worker = SeedingWorker(client)
    worker.fetch()
    assert room(client) == 5
    client.server.client.zadd(worker.queue.keys.workers, {worker.name: 1})
    client.server.run(worker.queue.rescue(None, 0.0))
    assert room(client) == 4


@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_repeat_and_a_job_with_the_unique_key_of_another_are_no_more_jobs(bounded, bounds):
    client = bounded(*bounds)
    jobs = [job(unique_key=f"k{number}") for number in range(5)]
    submit(client, *jobs)
    assert submit(client, *jobs) == [each.id for each in jobs]
    assert submit(client, job(unique_key="k3")) == [jobs[3].id]
    submit(client, job(unique_key="k1"), job(unique_key="k2"))
    with pytest.raises(InvalidBatch) as raised:
        submit(client, job(unique_key="k1"), job(unique_key="k9"))
    assert [index for index, _ in raised.value.errors] == [1]
    client.cancel(jobs[0].id)
    # Twins in one call are one job.
    submit(client, job(unique_key="new"), job(unique_key="new"))
    assert room(client) == 0


@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_batch_is_stored_whole_or_not_at_all_and_each_job_that_does_not_fit_is_named(bounded, bounds):
    client = bounded(*bounds)
    submit(client, *(job() for _ in range(3)))
    with pytest.raises(InvalidBatch) as raised:
        submit(client, *(job() for _ in range(4)))
    assert raised.value.code == "queue_limit"
    assert [(index, type(error)) for index, error in raised.value.errors] == [(2, QueueLimit), (3, QueueLimit)]
    assert room(client) == 2


def test_ten_thousand_jobs_too_many_are_named(bounded):
    client = bounded(1)
    ids = new_job_ids(10_000)
    with pytest.raises(InvalidBatch) as raised:
        client.store([NewJob(each, "email", b"{}") for each in ids])
    assert len(raised.value.errors) == 9999


@pytest.mark.parametrize("bounds", BOUNDS)
def test_those_that_fit_may_be_stored_alone_and_a_repeat_is_told_the_same(bounded, bounds):
    client = bounded(*bounds)
    request = request_for("key", b"body", 1_700_000_000_000)
    jobs = [job() for _ in range(7)]
    first = client.store(jobs, request=request, submitter=ANN, partly=True)
    which = "owner" if bounds[1] == 5 else "queue"
    assert [each.refused for each in first] == [""] * 5 + [which] * 2
    for each in first[:5]:
        client.cancel(each.job_id)
    again = client.store(jobs, request=request, submitter=ANN, partly=True)
    assert [(each.job_id, each.refused, each.replayed) for each in again] == [
        (each.job_id, each.refused, True) for each in first
    ]
    assert room(client) == 5


@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_batch_for_several_queues_is_refused_before_any_is_stored(bounded, bounds):
    client = bounded(*bounds)
    submit(client, *(job("b") for _ in range(5)))
    with pytest.raises(InvalidBatch) as raised:
        submit(client, job("a"), job("b"), job("a"))
    assert [index for index, _ in raised.value.errors] == [1]
    assert room(client, queue="a") == 5


def test_a_batch_that_is_cut_by_others_says_what_is_stored(bounded, monkeypatch):
    client = bounded(2)
    monkeypatch.setattr("gopher.client.check_bounds", lambda *_: None)
    submit(client, *(job("b") for _ in range(2)))
    request = request_for("key", b"body", 1_700_000_000_000)
    with pytest.raises(OutcomeUnknown, match="1 of the 2 jobs were stored"):
        client.store([job("a"), job("b")], request=request)
    client.purge("b", "pending")
    assert [each.refused for each in client.store([job("a"), job("b")], request=request)] == ["", ""]
    assert client.stats().total_enqueued == 4


def test_an_operator_may_redrive_and_a_schedule_fires_however_many_wait(bounded):
    client = bounded(1)
    worker = SeedingWorker(client)
    submit(client)
    worker.dead_letter(worker.fetch()[0], "ValueError")
    submit(client)
    assert client.dead_letters.retry_all() == 1
    assert client.stats().queues["default"].waiting == 2
    with pytest.raises(QueueLimit):
        submit(client)


def test_nothing_is_left_of_the_counts_when_nothing_waits(bounded):
    client = bounded(5, 5)
    keys = client.server.keys.for_queue("default")
    worker = SeedingWorker(client)
    client.flow.set_limit("email", None, None, 1)
    submit(client, *(job() for _ in range(3)))
    for _ in range(3):
        worker.complete(worker.fetch(10))
        client.server.run(worker.queue.promote())
    assert client.stats().queues["default"].waiting == 0
    assert client.server.client.exists(keys.parked_jobs) == 0
    assert client.server.client.hgetall(keys.waiting) == {b"ann": b"0"}


def test_a_dry_run_says_that_a_job_would_not_fit(bounded):
    client = bounded(1, None)
    client.dry_run(job())
    submit(client)
    with pytest.raises(QueueLimit):
        client.dry_run(job())


def commands(client):
    return {name: row["calls"] for name, row in client.server.client.info("commandstats").items()}


def cost(client):
    """Return how many commands the server runs for a submission."""
    before = commands(client)
    submit(client)
    after = commands(client)
    return sum(after[name] - before.get(name, 0) for name in after if name != "cmdstat_info")


def test_a_bound_costs_as_many_commands_with_a_thousand_buckets_as_with_one(tmp_path):
    from gopher.server.embedded import EmbeddedServer

    with EmbeddedServer(tmp_path) as server, Client(server.url) as plain:
        settings = Settings(redis_url=server.url, max_waiting=10_000, max_waiting_per_owner=10_000)
        with Client(settings=settings) as client:
            costs = []
            worker = SeedingWorker(client)
            client.flow.set_limit("email", None, None, 1)
            for buckets in (1, 1000):
                for number in range(buckets):
                    submit(client, *(job(limit_key=f"k{number}") for _ in range(2)))
                while worker.fetch(100):
                    pass
                submit(client)
                # Every two seconds, one also checks that the name of its queue is registered.
                costs.append(min(cost(client) for _ in range(3)))
            assert costs[0] == costs[1] < 40
            # Without bounds a job is sent and stored as ever.
            call = plain.server.queue("default").enqueue([job()])
            assert len(call.arguments) == 4


def test_a_handler_that_meets_a_bound_is_retried():
    from gopher.worker.children.child import what_becomes

    from gopher.queue.bounds import BatchBeyond

    assert what_becomes(QueueLimit("full"), None) == ("error", None)
    assert what_becomes(BatchBeyond([(0, QueueLimit("full"))]), None) == ("error", None)
    assert what_becomes(InvalidJob("wrong"), None) == ("discard", None)
