"""Outcomes are sent until a script has answered for them, whatever errors come in between."""

import json
import select
import time
from pathlib import Path

import pytest
from gopher.worker.messages import Completed
from gopher.worker.queue_side import delivery as delivery_module
from gopher.worker.queue_side.clock import ServerClock
from gopher.worker.queue_side.decisions import Decision
from gopher.worker.queue_side.settler import Settler
from gopher.worker.running import Running

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.queue.scripts import script
from gopher.queue.store import Server
from gopher.server.pipeline import Pipeline
from tests.faults.proxy import Proxy
from tests.seeding import SeedingWorker

LEASE = 1.0
#: What servers, proxies and providers say, and what they might.
WORDS = [
    "ERR max requests limit exceeded. Limit: 10000, Usage: 10000",
    "ERR upstream failure",
    "ERR quota",
    "WEIRD thing",
    "ASK 866 127.0.0.1:7001",
    "ASK somewhere",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOREPLICAS Not enough good replicas to write.",
    "READONLY You can't write against a read only replica.",
    "ERR Error running script (call to f_8c0): @user_script:7: @user_script: 7: -READONLY You can't write",
    "ERR user_script:7: attempt to compare nil with number script: 8c0, on @user_script:7.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING Redis is loading the dataset in memory",
    "NOAUTH Authentication required.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "ERR max number of clients reached",
    "",
    " ",
]


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory):
    with Proxy(Path(tmp_path_factory.mktemp("proxy")), server.socket_path) as proxy:
        yield proxy


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


class Bench:
    """A settler behind a proxy, and the jobs of a worker whose outcomes it delivers."""

    def __init__(self, client, proxy, server):
        self.client, self.proxy = client, proxy
        self.worker = SeedingWorker(client)
        queue = server.queue("default")
        self.pipeline = Pipeline(server, queue.keys.prefix)
        self.settler = Settler(queue, self.pipeline, ServerClock(), LEASE)
        self.delivery = self.settler.delivery

    def jobs(self, count):
        for number in range(count):
            self.client.enqueue("sleep", {"seconds": number})
        found = []
        while len(found) < count:
            found += [
                Running(job, "default", None, 3, 10.0, self.worker.name)
                for job in self.worker.fetch(count - len(found))
            ]
        return found

    def go_on(self, until, timeout=60.0):
        """Go round the loop as the worker does."""
        deadline = time.monotonic() + timeout
        while not until():
            now = time.monotonic()
            assert now < deadline, "it never gets there"
            if not self.pipeline.busy:
                self.settler.send()
            self.pipeline.check(now)
            self.pipeline.flush(now, 0.4)
            wake_at = min(self.pipeline.wake_at(), self.delivery.wake_at())
            sockets = [self.pipeline.connection.descriptor] if self.pipeline.connection.connected else []
            ready, _, _ = select.select(sockets, [], [], min(max(wake_at - now, 0.0), 0.05))
            if ready:
                self.pipeline.readable(time.monotonic())

    def states(self, jobs):
        return [self.client.inspector.state("default", each.job.id) for each in jobs]

    def totals(self, field):
        found = self.client.server.client.hget(self.client.server.keys.for_queue("default").totals, field)
        return int(found or 0)


@pytest.fixture
def bench(client, proxy, namespace, monkeypatch):
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE", 0.01)
    with Server(Settings(redis_url=proxy.url, namespace=namespace)) as server:
        bench = Bench(client, proxy, server)
        try:
            yield bench
        finally:
            proxy.mode("pass")
            bench.pipeline.connection.close()


@pytest.mark.parametrize("words", WORDS)
def test_no_error_reply_ends_an_outcome(bench, words):
    completed, failed, returned = bench.jobs(3), bench.jobs(1), bench.jobs(1)
    before = bench.proxy.done("inject")
    bench.proxy.mode("inject", text=words)
    for each in completed:
        bench.settler.complete(each, Completed(0, 0.01, b'"done"'), b"")
    decision = Decision("retry", "failed", delay=60.0, error_type="E", error=b'{"type":"E","message":"m"}')
    bench.settler.settle(failed[0], decision, b"", 0.0, 1.0)
    bench.settler.requeue(returned[0])
    bench.go_on(lambda: bench.proxy.done("inject") >= before + 12)
    assert bench.settler.waiting
    assert set(bench.settler.held()) == {*completed, *failed, *returned}
    bench.proxy.mode("pass")
    bench.go_on(lambda: not bench.settler.waiting)
    assert bench.states([*completed, *failed, *returned]) == ["completed"] * 3 + ["retrying", "pending"]
    assert bench.totals("completed:sleep") == 3


def refuse_one_of(bench, jobs, words="ERR request too large"):
    """Have the server refuse every result that has a mark, and give one job such a result."""
    bench.proxy.mode("inject", match="refuse this", text=words)
    for each in jobs:
        result = b'"refuse this"' if each is jobs[1] else b'"fine"'
        bench.settler.complete(each, Completed(0, 0.01, result), b"")


@pytest.mark.parametrize("words", ["ERR request too large", "WRONGTYPE Operation against a key"])
def test_one_that_is_refused_holds_up_no_others(bench, words):
    jobs = bench.jobs(5)
    refuse_one_of(bench, jobs, words)
    bench.go_on(lambda: len(bench.settler.held()) == 1)
    assert bench.states(jobs) == ["completed", "processing", "completed", "completed", "completed"]
    bench.proxy.mode("pass")
    bench.go_on(lambda: not bench.settler.waiting)
    assert bench.states(jobs) == ["completed"] * 5


def test_one_that_is_never_taken_while_others_are_becomes_a_dead_letter_and_is_counted(bench):
    jobs = bench.jobs(5)
    bench.delivery._patience = 0.2
    refuse_one_of(bench, jobs)
    bench.go_on(lambda: not bench.settler.waiting)
    assert bench.states(jobs) == ["completed", "failed", "completed", "completed", "completed"]
    error = json.loads(bytes(bench.client.job(jobs[1].job.id).error))
    assert error["type"] == "OutcomeRefused"
    assert "request too large" in error["message"]
    assert bench.totals("refused:sleep") == 1


def test_while_all_are_refused_none_is_given_up(bench):
    bench.delivery._patience = 0.1
    jobs = bench.jobs(4)
    began = bench.proxy.done("inject")
    bench.proxy.mode("inject", match=script("complete").sha, text="ERR max requests limit exceeded")
    for each in jobs:
        bench.settler.complete(each, Completed(0, 0.01, b""), b"")
    until = time.monotonic() + 1.0
    # More than four times also where this process had no processor.
    bench.go_on(lambda: time.monotonic() > until and bench.proxy.done("inject") > began + 4)
    assert len(bench.settler.held()) == 4
    # Halved again and again, each alone in the end, but with pauses.
    assert 4 < bench.proxy.done("inject") - began < 60
    bench.proxy.mode("pass")
    bench.go_on(lambda: not bench.settler.waiting)
    assert bench.states(jobs) == ["completed"] * 4


def test_what_is_refused_for_hours_is_kept_until_it_is_taken(bench):
    bench.delivery._longest_pause = 0.0
    jobs = bench.jobs(1)
    began = bench.proxy.done("inject")
    bench.proxy.mode("inject", match=script("complete").sha, text="ERR quota")
    bench.settler.complete(jobs[0], Completed(0, 0.01, b""), b"")
    bench.go_on(lambda: bench.proxy.done("inject") > began + 1100)
    bench.proxy.mode("pass")
    bench.go_on(lambda: not bench.settler.waiting)
    assert bench.states(jobs) == ["completed"]


def test_what_even_a_dead_letter_is_refused_for_is_dropped_and_counted(bench):
    bench.delivery._patience = 0.1
    refused, taken = bench.jobs(2)
    bench.proxy.mode("inject", match=refused.job.id, text="ERR user_script:7: attempt to compare nil with number")
    bench.settler.complete(refused, Completed(0, 0.01, b""), b"")
    bench.settler.complete(taken, Completed(0, 0.01, b""), b"")
    bench.go_on(lambda: not bench.settler.waiting)
    bench.go_on(lambda: bench.pipeline.idle)
    assert bench.states([refused, taken]) == ["processing", "completed"]
    assert bench.totals("refused:sleep") == 2


def test_no_more_jobs_are_to_come_while_many_outcomes_are_refused(bench, monkeypatch):
    monkeypatch.setattr(delivery_module, "FULL", 3)
    jobs = bench.jobs(3)
    bench.proxy.mode("inject", match=script("complete").sha, text="ERR quota")
    for each in jobs:
        bench.settler.complete(each, Completed(0, 0.01, b""), b"")
    bench.go_on(lambda: bench.delivery.full)
    bench.proxy.mode("pass")
    bench.go_on(lambda: not bench.settler.waiting)
    assert not bench.delivery.full
    assert (bench.delivery._refused, bench.delivery._refused_bytes) == (0, 0)


def test_once_the_lease_is_lost_what_is_refused_is_dropped(bench):
    jobs = bench.jobs(2)
    bench.proxy.mode("inject", match=script("complete").sha, text="ERR quota")
    for each in jobs:
        bench.settler.complete(each, Completed(0, 0.01, b""), b"")
    bench.go_on(lambda: bench.delivery._refused == 2)
    bench.delivery.lose(bench.worker.name)
    bench.go_on(lambda: not bench.settler.waiting)
    assert bench.states(jobs) == ["processing"] * 2
