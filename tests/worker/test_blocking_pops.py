"""A job that comes to an idle worker is begun by a call that waited on the server: also when nobody hears of that."""

import signal
import time

import psutil
import pytest

from gopher.client import Client
from tests.faults.proxy import Proxy
from tests.helpers import wait_until, wait_until_started
from tests.pulse import Pulse

#: How often a time is measured at most until it is within its bound.
ROUNDS = 3


@pytest.fixture
def proxy(server, tmp_path):
    with Proxy(tmp_path, server.socket_path) as proxy:
        yield proxy


@pytest.fixture
def far(client, proxy):
    """A client whose way to the server leads through the proxy."""
    with Client(proxy.url, namespace=client.settings.namespace) as far:
        yield far


def blocking_pops(client):
    """Return the ids of connections: those of a worker of another test may still be there, and vanish."""
    return {each["id"] for each in client.server.client.client_list() if each["cmd"] == "brpoplpush"}


def begun(client, before):
    """Return how many blocking pops there are that were not there before."""
    return len(blocking_pops(client) - before)


def history(client, job_id):
    """Return how a job ended, and how its attempts did."""
    view = client.wait(job_id, 60)
    return view.status, [each.outcome for each in view.history]


def test_the_server_begins_a_job_for_a_worker_that_sleeps(client, start_worker):
    before = blocking_pops(client)
    worker = start_worker(WORKER_CONCURRENCY="1")
    wait_until(lambda: begun(client, before) == 1)
    worker.send(signal.SIGSTOP)
    job_id = client.enqueue("echo", {})
    wait_until(lambda: client.job(job_id).status == "processing")
    worker.send(signal.SIGCONT)
    assert history(client, job_id) == ("completed", ["completed"])


def test_a_job_whose_blocking_pop_was_answered_unheard_runs_once(client, far, proxy, start_worker):
    proxy.shoot("drop_reply", match="BRPOPLPUSH")
    start_worker(far, WORKER_CONCURRENCY="1")
    wait_until(lambda: not proxy.shots_left())
    assert history(client, client.enqueue("echo", {})) == ("completed", ["completed"])
    assert history(client, client.enqueue("echo", {})) == ("completed", ["completed"])


def test_a_job_that_a_blocking_pop_begins_long_after_it_was_given_up_runs_once(client, far, proxy, start_worker):
    before = blocking_pops(client)
    proxy.shoot("orphan", match="BRPOPLPUSH")
    start_worker(far, WORKER_CONCURRENCY="1", WORKER_POLL_INTERVAL="300ms")
    # The first one's owner is gone, and the server does not know.
    wait_until(lambda: begun(client, before) == 2)
    assert history(client, client.enqueue("echo", {})) == ("completed", ["completed"])
    wait_until(lambda: begun(client, before) == 1)
    assert history(client, client.enqueue("echo", {})) == ("completed", ["completed"])


def test_a_worker_that_leaves_leaves_no_job_that_a_lost_blocking_pop_began(client, far, proxy, start_worker):
    before = blocking_pops(client)
    proxy.shoot("orphan", match="BRPOPLPUSH")
    worker = start_worker(far, WORKER_CONCURRENCY="1", WORKER_POLL_INTERVAL="10s")
    wait_until(lambda: begun(client, before) == 2)
    job_id = client.enqueue("echo", {})
    wait_until(lambda: client.job(job_id).status == "processing")
    assert worker.stop() == 0
    assert client.job(job_id).status == "pending"
    assert client.job(job_id).attempts == 0


# A worker may hold a job for 0.2 s.
@pytest.mark.parametrize("within", [15, pytest.param(0.15, marks=[pytest.mark.deep, pytest.mark.quiet])])
def test_a_job_goes_back_at_once_when_it_is_popped_while_the_child_is_busy(client, start_worker, within):
    """Also while the worker would hold the next job of another queue: beside a blocking pop others may be idle."""
    before = blocking_pops(client)
    start_worker(WORKER_CONCURRENCY="1", WORKER_QUEUES="busy,other")
    ids = client.enqueue_many({"type": "nap", "payload": {"seconds": 0.15}, "queue": "busy"} for _ in range(2))
    # It knows by now how long they are.
    assert {client.wait(job_id, 60).status for job_id in ids} == {"completed"}
    for left in range(ROUNDS - 1, -1, -1):
        wait_until(lambda: begun(client, before) == 2)
        long = client.enqueue("nap", {"seconds": 600}, queue="busy", timeout="15m")
        wait_until_started(long)
        short = client.enqueue("echo", {}, queue="other")
        with Pulse() as pulse:
            began = time.monotonic()
            wait_until(lambda short=short: client.job(short).attempts == 0 and client.job(short).status == "pending")
            took = time.monotonic() - began
        if pulse.allows(took, within):
            break
        assert left, f"it went back after {took:.2f} s; {pulse}"
        # The worker alone may have had no processor.
        client.cancel(long)
        assert history(client, short) == ("completed", ["completed"])
    start_worker(WORKER_CONCURRENCY="1", WORKER_QUEUES="other")
    assert history(client, short) == ("completed", ["completed"])
    assert client.job(long).status == "processing"


def test_a_worker_whose_fetches_are_refused_sleeps_all_the_same(client, start_worker):
    keys = client.server.queue("default").keys
    for corrupt in (keys.limited, keys.pending("high")):
        client.server.client.set(corrupt, "no list and no set")
    worker = psutil.Process(start_worker(WORKER_CONCURRENCY="1").pid)
    used = worker.cpu_times().user
    worker.cpu_percent(1.0)
    assert worker.cpu_times().user - used < 0.3
