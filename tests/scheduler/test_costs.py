"""What a client can name costs the others nothing.

With ten times as many queues, keys, types, jobs and schedules a look at the health, a job by its id and an idle
installation cost what they did.
"""

import threading
import time

import msgspec
import pytest
from gopher.scheduler.loop import Scheduler

from gopher.client import Client
from gopher.jobs.handlers import Registry
from gopher.jobs.schedule import ScheduleSpec
from gopher.queue.presence import show_worker
from gopher.reads.health import check_writable
from gopher.server import idle_connections
from tests.helpers import wait_until
from tests.seeding import SeedingWorker

FEW, MANY = 10, 100
#: An id that tells the queue of no job.
UNKNOWN = "01a22001-0000-7000-8000-000000000abc"
#: Seconds for which an idle installation is watched.
WATCHED = 3.0


def calls(client):
    """Return how many commands the server has done, those inside scripts too."""
    stats = client.server.client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_info")


def cost(client, act):
    before = calls(client)
    act()
    return calls(client) - before


@pytest.fixture
def gopher(own_server, monkeypatch):
    # A call that takes longer than a second is sent again, which would count.
    monkeypatch.setattr(idle_connections, "FIRST_ATTEMPT", 60.0)
    with Client(own_server.url) as client:
        yield client


@pytest.fixture
def scheduler(gopher, monkeypatch):
    """A scheduler in a thread. Empty queues are looked at again soon, so that it comes to rest soon."""
    monkeypatch.setattr("gopher.scheduler.forgetter.EMPTY_FOR", 0.1)
    monkeypatch.setattr(Scheduler, "_install_signals", lambda self: None)
    made = Scheduler(gopher.settings, Registry())
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made._stopping = True
    thread.join(20)
    assert not thread.is_alive()


def queues(client, count):
    client.enqueue_many({"type": "email", "payload": {}, "queue": f"q{number}"} for number in range(count))


def limit_keys(client, count):
    """Jobs of a paused type with a key each: a worker has parked them."""
    client.server.register_queues("limited")
    client.flow.pause_type("parked")
    client.enqueue_many(
        {"type": "parked", "payload": {}, "limit_key": f"t{number}", "queue": "limited"} for number in range(count)
    )
    worker = SeedingWorker(client, "limited")
    assert worker.fetch(count) == []
    client.server.run(worker.queue.resign(worker.name))
    client.server.client.delete(client.server.keys.for_queue("limited").fenced)


def keys_with_limits(client, count):
    """Two jobs for each key: one has started, a worker has parked the other."""
    client.server.register_queues("per_key")
    client.flow.set_limit("per-key", "1/h", 1, None, per_key=True)
    client.enqueue_many(
        {"type": "per-key", "payload": {}, "limit_key": f"t{number}", "queue": "per_key", "retention": 0}
        for number in range(count)
        for _ in range(2)
    )
    worker = SeedingWorker(client, "per_key")
    worker.complete(worker.fetch(3 * count))
    client.server.run(worker.queue.resign(worker.name))
    client.server.client.delete(client.server.keys.for_queue("per_key").fenced)


def children(client, count):
    """Jobs that wait for one job, and jobs that will read the result of another."""
    for parent in (client.enqueue("email", {}, delay="1h"), ended(client)):
        client.enqueue_many({"type": "email", "payload": {}, "after": [parent], "delay": "1h"} for _ in range(count))


def ended(client):
    client.server.register_queues("default")
    job_id = client.enqueue("email", {}, priority="high")
    worker = SeedingWorker(client)
    worker.complete(worker.fetch())
    client.server.run(worker.queue.resign(worker.name))
    client.server.client.delete(client.server.keys.for_queue("default").fenced)
    return job_id


def idempotency_keys(client, count):
    for number in range(count):
        client.submit_batch([b'{"type":"email","payload":{}}'], idempotency_key=f"k{number}")


def types(client, count):
    client.enqueue_many({"type": f"type-{number}", "payload": {}} for number in range(count))


def unique_keys(client, count):
    client.enqueue_many({"type": "email", "payload": {}, "unique_key": f"k{number}"} for number in range(count))


def delayed(client, count):
    client.enqueue_many({"type": "email", "payload": {}, "delay": f"{number + 60}m"} for number in range(count))


def schedules(client, count):
    for number in range(count):
        spec = ScheduleSpec(cron_expression="0 0 1 1 *", type="email", payload=msgspec.Raw(b"{}"))
        client.schedules.put(f"s{number}", spec)


def workers(client, count):
    for number in range(count):
        for command in show_worker(client.server.keys, f"w{number}", b"{}", client.inspector.now(), 60.0):
            client.server.client.execute_command(*command.words)


def looks_of(client, job_id):
    def first_look():
        with Client(client.settings.redis_url) as fresh:
            fresh.job(job_id)

    return {
        "health": client.health,
        "ready": lambda: check_writable(client.server),
        "job": lambda: client.job(job_id),
        "first job": first_look,
        "why": lambda: client.why(job_id),
        "unknown job": lambda: client.inspector.find(UNKNOWN),
        "submit": lambda: client.enqueue("email", {}, queue="q3"),
        "cancel": lambda: client.cancel(job_id),
    }


#: All that a client can name.
NAMES = [
    queues,
    limit_keys,
    keys_with_limits,
    types,
    unique_keys,
    idempotency_keys,
    delayed,
    children,
    schedules,
    workers,
]


@pytest.mark.parametrize("name", NAMES)
def test_ten_times_as_many_names_cost_no_look_more(gopher, name):
    found = []
    for count in (FEW, MANY):
        name(gopher, count)
        gopher.server.client.set(gopher.server.keys.unserved, b'{"count":0,"queues":[]}')
        looks = looks_of(gopher, gopher.enqueue("email", {}, queue="q3"))
        if name is workers:
            # Who asks why a job does not run is told of the workers; these have no records.
            del looks["why"]
        found.append({what: cost(gopher, look) for what, look in looks.items()})
    few, many = found
    assert {what: (few[what], count) for what, count in many.items() if count > few[what] + 2} == {}
    assert many["health"] <= 33
    # The probe, and the look whether the server was emptied.
    assert many["ready"] == 2
    assert many["job"] <= 2
    assert many["first job"] <= 4


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (queues, schedules, workers)])
def test_ten_times_as_many_names_cost_the_figures_of_a_queue_little_more(gopher, name):
    """Figures of queues are read for each queue, and nothing else."""
    found = []
    for count in (FEW, 10 * FEW, 100 * FEW):
        name(gopher, count)
        found.append(cost(gopher, gopher.stats))
    few, many, very_many = found
    assert many <= 3 * few
    assert very_many <= many + 10


@pytest.mark.parametrize("ended_before", [False, True])
def test_one_more_child_of_a_job_writes_the_same_however_many_there_are(gopher, ended_before):
    parent = ended(gopher) if ended_before else gopher.enqueue("email", {}, delay="1h")
    redis = gopher.server.client
    redis.config_set("appendonly", "yes")

    def is_written() -> bool:
        found = redis.info("persistence")
        return found["aof_rewrite_in_progress"] == found["aof_rewrite_scheduled"] == 0

    wait_until(is_written)

    def written(count):
        before = redis.info("persistence")["aof_current_size"]
        for _ in range(count):
            gopher.enqueue("email", {}, after=[parent], delay="1h")
        return redis.info("persistence")["aof_current_size"] - before

    written(20)
    few = written(20)
    written(200)
    assert written(20) <= 1.1 * few


def test_the_newest_queues_are_asked_by_who_looks_at_the_health_and_that_is_bounded_too(gopher):
    """No scheduler has noted anything."""
    queues(gopher, MANY)
    gopher.enqueue("email", {}, queue="mistyped")
    assert cost(gopher, gopher.health) <= 33
    assert any("'mistyped' has jobs and no worker" in reason for reason in gopher.health().reasons)


def test_ten_times_as_many_names_cost_an_idle_installation_nothing(gopher, scheduler):
    def settled():
        before = calls(gopher)
        time.sleep(0.5)
        return calls(gopher) - before < 60

    def idle():
        # What is new is noted for the plots when it is seen for the first time.
        for duties in list(scheduler._queues.values()):
            duties.survey_at(0.0)
        gopher.server.client.lpush(gopher.server.keys.alarm, "q0")
        wait_until(settled, 30)
        return cost(gopher, lambda: time.sleep(WATCHED)) / WATCHED

    few = many = None
    for count in (FEW, MANY):
        for name in NAMES:
            if name is not workers:
                name(gopher, count)
        few, many = many, idle()
    # Ten queues are sampled for the plots all the time; of a hundred, only those where something happens.
    assert many <= max(2 * few, 150)
    assert "no scheduler" not in str(gopher.health().reasons)
    # The scheduler notes at times what it has found.
    wait_until(lambda: len(gopher.health().reasons) == 11)
    assert "more queues have jobs and no worker" in gopher.health().reasons[-1]


def test_reads_of_all_queues_take_few_round_trips(gopher, monkeypatch):
    """Commands grow with the queues, but they go together."""
    queues(gopher, MANY)
    trips = []
    client = gopher.server.client
    pipeline = client.pipeline

    def counted(*arguments, **named):
        trips.append("pipeline")
        return pipeline(*arguments, **named)

    run_all = gopher.server.run_all
    monkeypatch.setattr(client, "pipeline", counted)
    monkeypatch.setattr(gopher.server, "run_all", lambda *a, **n: (trips.append("scripts"), run_all(*a, **n))[1])
    for read in (
        gopher.stats,
        gopher.flow.limits,
        gopher.flow.paused_queues,
        gopher.schedules.all,
        gopher.dead_letters.count,
        gopher.dead_letters.groups,
        gopher.dead_letters.redrives,
        gopher.inspector.all_totals,
        lambda: gopher.jobs(limit=1),
        lambda: gopher.timeline("1h"),
        lambda: gopher.flow.set_limit("email", "100/s", None, None),
    ):
        trips.clear()
        read()
        assert len(trips) <= 10, (read, trips)
