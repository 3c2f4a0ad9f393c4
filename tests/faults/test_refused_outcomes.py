"""The server refuses what a job brought: the job is not forgotten in the hands of a worker that lives."""

import os
import signal
import time

import psutil
import pytest

from gopher.queue.scripts import script
from tests.faults import points
from tests.faults.lab import System
from tests.faults.load import Load
from tests.helpers import wait_until

#: A module with a handler that declares limits.
LIMITED = "tests.flow.ledger_handlers"
#: What servers, proxies and providers say, and what they might.
SAYINGS = [
    "ERR max requests limit exceeded. Limit: 10000, Usage: 10000",
    "ERR upstream failure",
    "ASK 866 127.0.0.1:7001",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOREPLICAS Not enough good replicas to write.",
    "READONLY You can't write against a read only replica.",
    "ERR Error running script (call to f_8c0): @user_script:7: @user_script: 7: -READONLY You can't write",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING Redis is loading the dataset in memory",
    "NOAUTH Authentication required.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "ERR quota",
    "WEIRD thing",
    "",
]


@pytest.mark.parametrize("match", ["EVAL", script("complete").sha], ids=["all scripts", "complete"])
def test_whatever_the_server_says_for_longer_than_a_lease_each_outcome_arrives_and_no_job_runs_twice(proxied, match):
    """Jobs are begun before and end meanwhile."""
    lost, before = proxied.totals("rescued") + proxied.totals("reclaimed"), proxied.proxy.done("inject")
    with Load(proxied.address, 8, payload={"seconds": 0.6}) as load:
        pass
    wait_until(lambda: _seen(proxied, "start", load.ids) >= 4)
    for saying in SAYINGS:
        proxied.proxy.mode("inject", match=match, text=saying)
        time.sleep(4.5 / len(SAYINGS))
    proxied.proxy.mode("pass")
    assert proxied.proxy.done("inject") > before + 10
    proxied.wait(load.ids, 60)
    found = proxied.audit(load.accepted)
    assert found.sound, found
    assert (found.completed, found.twice) == (8, [])
    assert proxied.totals("rescued") + proxied.totals("reclaimed") == lost
    assert proxied.findings() == []


def test_a_worker_that_is_told_to_stop_while_outcomes_are_refused_waits_for_them(seed):
    """For as long as its shutdown may take, and a few seconds more."""
    with System(
        workers=1, api=0, schedulers=0, children=2, proxied=True, seed=seed, WORKER_SHUTDOWN_TIMEOUT="1s"
    ) as own:
        worker, proxy = own.workers[0], own.proxy
        ids = [own.client.enqueue("faults.work", {"seconds": 0.2}) for _ in range(2)]
        proxy.mode("inject", match=script("complete").sha, text="ERR quota")
        wait_until(lambda: _seen(own, "end", ids) == 2)
        wait_until(lambda: proxy.done("inject") >= 2)
        worker.send(signal.SIGTERM)
        time.sleep(0.5)
        assert worker.running
        proxy.mode("pass")
        assert worker.wait() == 0
        assert set(own.states(ids).values()) == {"completed"}
        assert len(own.events()) == 4


def test_a_worker_rests_while_outcomes_are_to_be_sent_again_to_a_server_that_is_silent(seed):
    """They go with the next batch, and none is sent before the one under way was answered."""
    with System(workers=1, api=0, schedulers=0, proxied=True, seed=seed) as own:
        own.proxy.mode("inject", match=script("complete").sha, text="ERR quota")
        ids = [own.client.enqueue("faults.work", {"seconds": 0.2 * number}) for number in range(4)]
        wait_until(lambda: _seen(own, "end", ids) == 4)
        wait_until(lambda: own.proxy.done("inject") >= 8)
        own.proxy.mode("blackhole")
        wait_until(lambda: own.proxy.done("blackhole"))
        worker = psutil.Process(own.workers[0].pid)
        used = sum(worker.cpu_times()[:2])
        worker.cpu_percent(2.0)
        assert sum(worker.cpu_times()[:2]) - used < 0.3
        own.proxy.mode("pass")
        own.wait(ids, 60)
        assert len(own.events()) == 8


def test_a_job_that_the_worker_does_not_hold_is_requeued_while_it_works(unhurried):
    """As if its outcome had been dropped: the lease of a worker that lives would cover it for good."""
    client = unhurried.client
    queue = client.server.queue("default")
    # Longer than three heartbeats, after which the other one is requeued: while a job runs, they come once a second.
    running = client.enqueue("faults.work", {"seconds": 6})
    wait_until(lambda: client.inspector.state("default", running) == "processing")
    token = client.server.client.hget(queue.keys.job(running), "token").decode()
    worker_id = token.rpartition(".")[0]
    lost, before = client.enqueue("faults.work", {}, delay="1h"), unhurried.totals("reclaimed")
    with client.server.client.pipeline() as pipe:
        pipe.zrem(queue.keys.scheduled, lost)
        pipe.lpush(queue.keys.processing(worker_id), lost)
        pipe.hset(queue.keys.job(lost), mapping={"state": "processing", "token": f"{worker_id}.0", "attempts": 1})
        pipe.execute()
    unhurried.wait([lost, running], 60)
    assert set(unhurried.states([lost, running]).values()) == {"completed"}
    assert unhurried.totals("reclaimed") == before + 1
    assert _seen(unhurried, "start", [running]) == 1
    # The worker that has requeued it says so once it has the reply; another one may have run the job by then.
    told = "requeued a job that was in this worker's list but not held by it"
    wait_until(lambda: told in unhurried.logs(), what="a line in the log")


def test_a_worker_that_starts_while_its_calls_are_refused_takes_a_lease_and_declares_limits_later(seed):
    with System(
        workers=0, api=0, schedulers=0, proxied=True, seed=seed, GOPHER_HANDLERS=LIMITED, LEDGER=os.devnull
    ) as own:
        job_id = own.client.enqueue("declared", {})
        own.proxy.mode("inject", match="EVAL", text="ERR quota")
        worker = own.start_worker()
        wait_until(lambda: own.proxy.done("inject") >= 5)
        assert worker.running
        own.proxy.mode("pass")
        own.wait([job_id], 60)
        wait_until(
            lambda: own.client.server.client.exists(own.client.server.keys.for_queue("default").limit("declared"))
        )
        assert "lease was lost" not in own.logs()


def test_a_schedule_that_can_not_fire_is_tried_again_with_pauses(proxied):
    name, before = script("tick").sha, proxied.proxy.done("inject")
    proxied.proxy.mode("inject", match=name, text="ERR quota")
    (job_id,) = points.schedule_due(proxied.client, "default")
    wait_until(lambda: proxied.proxy.done("inject") > before)
    time.sleep(1.5)
    assert proxied.proxy.done("inject") <= before + 4
    proxied.proxy.mode("pass")
    proxied.wait([job_id], 60)


@pytest.fixture
def spoilt_system(seed):
    """A system of its own: what a corrupt record has a script leave by half is not mended.

    Its lease outlasts the time for which its supervisor is frozen.
    """
    with System(workers=1, api=0, seed=seed, lease="20s") as running:
        yield running


def test_a_corrupt_record_does_not_affect_other_results(spoilt_system):
    """Results that come together go out in one call."""
    client, supervisor = spoilt_system.client, spoilt_system.workers[0]
    ids = [client.enqueue("faults.work", {"seconds": 0.7}) for _ in range(4)]
    wait_until(lambda: _seen(spoilt_system, "start", ids) == 4)
    supervisor.send(signal.SIGSTOP)
    wait_until(lambda: _seen(spoilt_system, "end", ids) == 4)
    corrupt, *others = ids
    client.server.client.set(client.server.keys.for_queue("default").job(corrupt), "nonsense")
    supervisor.send(signal.SIGCONT)
    wait_until(lambda: {client.inspector.state("default", job_id) for job_id in others} == {"completed"}, 60)
    assert len(spoilt_system.events()) == 8


def _seen(system, event, ids):
    """Return how many of the jobs have come by an event."""
    return len({entry.job_id for entry in system.events() if entry.event == event} & set(ids))
