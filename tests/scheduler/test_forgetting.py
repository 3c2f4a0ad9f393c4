"""Queues that hold nothing are forgotten, and no job that comes meanwhile is lost with them."""

import os
import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from gopher.scheduler.forgetter import EMPTY_FOR, Forgetter

from gopher.client import Client
from gopher.queue.names import KNOWN_FOR, LEAVING_FOR
from gopher.server.calls import Command
from tests.helpers import wait_until
from tests.seeding import SeedingWorker

#: A scheduler for which all takes a fraction of a second.
_HASTY = """
import gopher.queue.names, gopher.scheduler.forgetter as forgetter, gopher.scheduler.loop as loop
from gopher.jobs.handlers import Registry
from gopher.scheduler.duties import Pruner, Surveyor
from gopher.config.settings import Settings
forgetter.EMPTY_FOR, forgetter.LEAVING_FOR, loop.NEW_QUEUES_PERIOD = 0.2, 0.5, 0.1
Surveyor.PERIOD, Surveyor.RATE, Pruner.PERIOD = 0.1, 1000.0, 0.1
loop.Scheduler(Settings.from_env(), Registry()).run()
"""


class Steps:
    """A forgetter whose time the test sets, against the real server: each call is made as it is sent."""

    def __init__(self, client):
        self.server = client.server
        self.keys = client.server.keys
        self.forgetter = Forgetter(self.keys, self.server.queue, self.send)
        #: What happens before a call is made, by its verb.
        self.before = {}
        self.now = 1000.0

    def send(self, call, callback):
        self.before.get(call.verb, lambda: None)()
        made = self.server.client.execute_command(*call.words) if isinstance(call, Command) else self.server.run(call)
        callback(made)

    def look(self, seconds=0.0):
        """Let time pass, take the names as the loop does, and survey every queue."""
        self.now += seconds
        client = self.server.client
        known = {name.decode() for name in client.smembers(self.keys.queues)}
        leaving = {name.decode(): str(int(score)).encode() for name, score in self.leaving()}
        self.forgetter.take_names(known, leaving, self.server_now(), self.now)
        for name in known | leaving.keys():
            self.forgetter.take_survey(name, self.server.run(self.server.queue(name).survey()), self.now)

    def server_now(self):
        # Ours runs ahead of the server's by what the test has let pass.
        return int(self.server.client.time()[0]) * 1000 + round((self.now - 1000.0) * 1000) + 1000

    def leaving(self):
        return self.server.client.zrange(self.keys.leaving, 0, -1, withscores=True)

    def names(self):
        return {name.decode() for name in self.server.client.smembers(self.keys.queues)}

    def left(self, queue):
        return self.server.client.keys(f"{self.keys.for_queue(queue).prefix}*")


@pytest.fixture
def steps(client):
    return Steps(client)


def empty(client, *queues):
    """Put a job into each queue and take it away."""
    for queue in queues:
        client.enqueue("echo", {}, queue=queue)
        client.purge(queue, "pending")


def test_a_queue_that_was_found_empty_twice_leaves_and_nothing_is_left_of_it(client, steps):
    client.enqueue("echo", {}, queue="kept")
    empty(client, "mail")
    steps.look()
    assert steps.names() == {"kept", "mail"}
    steps.look(EMPTY_FOR)
    assert (steps.names(), len(steps.leaving())) == ({"kept"}, 1)
    assert client.server.queues() == ["kept", "mail"]
    steps.look(LEAVING_FOR)
    assert (client.server.queues(), steps.leaving(), steps.left("mail")) == (["kept"], [], [])
    assert client.stats().total_enqueued == 2


def test_who_takes_a_queue_for_known_does_so_for_less_time_than_it_takes_to_leave():
    assert KNOWN_FOR + 5 < LEAVING_FOR


def test_a_job_that_comes_while_the_queue_leaves_brings_it_back(client, steps):
    client.enqueue("echo", {}, queue="kept")
    empty(client, "mail")
    steps.look()
    steps.look(EMPTY_FOR)
    # This process still takes the queue for known: it says nothing of it.
    job_id = client.enqueue("echo", {}, queue="mail")
    assert steps.names() == {"kept"}
    assert client.job(job_id).queue == "mail"
    assert job_id in {job.job_id for job in client.jobs().jobs}
    steps.look(LEAVING_FOR)
    assert steps.names() == {"kept", "mail"}
    steps.look(1)
    assert (steps.names(), steps.leaving()) == ({"kept", "mail"}, [])
    assert client.job(job_id).status == "pending"


def test_a_process_that_looks_again_makes_the_queue_known_again(client, steps, redis_url):
    client.enqueue("echo", {}, queue="kept")
    empty(client, "mail")
    steps.look()
    steps.look(EMPTY_FOR)
    with Client(settings=replace(client.settings)) as other:
        job_id = other.enqueue("echo", {}, queue="mail")
    assert steps.names() == {"kept", "mail"}
    steps.look(LEAVING_FOR)
    assert (steps.names(), steps.leaving(), client.job(job_id).queue) == ({"kept", "mail"}, [], "mail")


@pytest.mark.parametrize("verb", ["ZADD", "SREM", "forget"])
def test_a_job_that_comes_just_before_a_step_is_not_lost(client, steps, verb):
    client.enqueue("echo", {}, queue="kept")
    empty(client, "mail")
    ids = []
    steps.before[verb] = lambda: ids.append(client.enqueue("echo", {}, queue="mail"))
    steps.look()
    steps.look(EMPTY_FOR)
    steps.look(LEAVING_FOR)
    steps.before.clear()
    steps.look(LEAVING_FOR)
    steps.look(LEAVING_FOR)
    assert (steps.names(), steps.leaving()) == ({"kept", "mail"}, [])
    assert client.stats().queues["mail"].waiting == len(ids) > 0


def test_another_scheduler_continues_where_one_was_killed(client, steps):
    client.enqueue("echo", {}, queue="kept")
    empty(client, "mail")
    steps.look()

    def die():
        raise KeyboardInterrupt

    steps.before["SREM"] = die
    with pytest.raises(KeyboardInterrupt):
        steps.look(EMPTY_FOR)
    assert (steps.names(), len(steps.leaving())) == ({"kept", "mail"}, 1)
    other = Steps(client)
    other.now = steps.now
    for seconds in (0, EMPTY_FOR, LEAVING_FOR):
        other.look(seconds)
    other.look(LEAVING_FOR)
    assert (other.names(), other.leaving(), other.left("mail")) == ({"kept"}, [], [])


def test_dropping_a_name_keeps_a_newer_entry_of_another_scheduler(client, steps):
    client.server.client.zadd(steps.keys.leaving, {"mail": 2000})
    steps.forgetter._drop("mail", b"1000")
    assert steps.leaving() == [(b"mail", 2000.0)]
    steps.forgetter._drop("mail", b"2000")
    assert steps.leaving() == []


def test_a_step_that_is_done_late_does_not_hide_a_queue_that_was_made_known_again(client, steps, monkeypatch):
    """Another scheduler has seen that, and has cleared up, before the name is taken out of the known ones."""
    client.enqueue("echo", {}, queue="kept")
    empty(client, "mail")
    steps.look()

    def meanwhile():
        steps.before.clear()
        with Client(settings=client.settings) as other:
            other.enqueue("echo", {}, queue="mail")
        client.server.client.delete(steps.keys.leaving)

    steps.before["SREM"] = meanwhile
    steps.look(EMPTY_FOR)
    for _ in range(3):
        steps.look(LEAVING_FOR)
    assert (steps.names(), steps.leaving()) == ({"kept", "mail"}, [])


def test_what_a_process_of_an_earlier_version_puts_in_later_is_found(client, steps):
    """It takes a name for known for ever."""
    client.enqueue("echo", {}, queue="kept")
    empty(client, "mail")
    for seconds in (0, EMPTY_FOR, LEAVING_FOR):
        steps.look(seconds)
    assert steps.names() == {"kept"}
    job_id = client.enqueue("echo", {}, queue="mail")
    assert steps.names() == {"kept"}
    steps.look(2)
    assert steps.names() == {"kept", "mail"}
    assert client.job(job_id).queue == "mail"


def test_the_last_queue_that_has_the_limits_of_types_stays(client, steps):
    empty(client, "a", "b")
    client.flow.set_limit("echo", "1/s", None, None)
    for seconds in (0, EMPTY_FOR, LEAVING_FOR):
        steps.look(seconds)
    assert steps.names() == {"a"}
    client.enqueue("echo", {}, queue="c")
    assert ("c", "1/s") in {(view.queue, view.rate) for view in client.flow.limits()}


def test_counters_never_go_back(client, steps):
    worker = SeedingWorker(client, "mail")
    client.enqueue("echo", {}, queue="kept")
    client.enqueue("echo", {}, queue="mail", retention=0)
    worker.complete(worker.fetch())
    client.server.run(worker.queue.resign(worker.name))
    client.server.client.delete(client.server.keys.for_queue("mail").fenced)

    def counted():
        totals = client.inspector.all_totals()
        types = {queue: ["echo"] for queue in totals}
        sums = {}
        for found in client.inspector.all_histograms(types).values():
            for field, count in found["echo"].items():
                sums[field] = sums.get(field, 0) + count
        return sum(of.get("completed:echo", 0) for of in totals.values()), sums, client.stats().total_dequeued

    before = counted()
    for seconds in (0, EMPTY_FOR, LEAVING_FOR):
        steps.look(seconds)
    assert (steps.names(), steps.left("mail")) == ({"kept"}, [])
    assert counted() == before
    assert before[0] == before[2] == 1


@pytest.fixture
def start_hasty(client, monkeypatch):
    """Start a scheduler for which all takes a fraction of a second, and processes that look again as quickly."""
    monkeypatch.setattr("gopher.queue.names.KNOWN_FOR", 0.1)
    environ = {"REDIS_URL": client.settings.redis_url, "GOPHER_NAMESPACE": client.settings.namespace}
    started = []

    def start(code=_HASTY):
        started.append(subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **environ}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def hasty_scheduler(start_hasty):
    return start_hasty()


def test_a_scheduler_forgets_hundreds_of_queues_and_leaves_no_key_of_them(client, hasty_scheduler):
    client.enqueue("echo", {}, queue="kept")
    names = [f"tenant-{number}" for number in range(300)]
    client.enqueue_many({"type": "echo", "payload": {}, "queue": name} for name in names)
    for name in names:
        client.purge(name, "pending")
    pattern = f"{client.settings.namespace}:{{tenant-*"
    wait_until(lambda: client.server.queues() == ["kept"] and not client.server.client.keys(pattern), 60)
    # Jobs come at any moment of a queue's leaving, and are found and kept whenever that is.
    for _ in range(5):
        job_id = client.enqueue("echo", {}, queue="tenant-7")
        time.sleep(0.15)
        assert client.job(job_id).status == "pending"
        client.purge("tenant-7", "pending")
        time.sleep(random.uniform(0, 0.7))
    job_id = client.enqueue("echo", {}, queue="tenant-7")
    wait_until(lambda: "tenant-7" in client.server.queues(), 60)
    assert client.job(job_id).status == "pending"
    assert hasty_scheduler.poll() is None


def test_thousands_that_are_emptied_together_are_not_removed_one_survey_after_the_other(client, start_hasty):
    """At five surveys a second alone that would take minutes."""
    wide = Client(settings=replace(client.settings, max_queues=5000))
    wide.enqueue("echo", {}, queue="kept", delay="1h")
    names = [f"tenant-{number}" for number in range(1500)]
    wide.enqueue_many({"type": "echo", "payload": {}, "queue": name, "delay": "1h"} for name in names)
    start_hasty(_HASTY.replace("Surveyor.RATE, Pruner.PERIOD = 0.1, 1000.0, 0.1", "Pruner.PERIOD = 0.5, 0.1"))
    wait_until(lambda: "1501" in (client.server.client.get(client.server.keys.unserved) or b"").decode(), 60)
    client.server.run_each([client.server.queue(name).purge("scheduled") for name in names])
    wait_until(lambda: client.server.client.scard(client.server.keys.queues) == 1, 30)
    pattern = f"{client.settings.namespace}:{{tenant-*"
    wait_until(lambda: not client.server.client.keys(pattern), 60)
    wide.close()
