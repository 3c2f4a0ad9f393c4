"""What an idle worker costs the server. Counted on a server of its own, with supervisors that have no children."""

import time

import pytest
from gopher.worker.queue_side.rhythm import BEATS, LATE, LONGEST, Rhythm

from benchmarks.fleet import Fleet
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry, handler
from tests.helpers import wait_until

WORKERS = 20
#: Seconds until they have done what they do only at their start, and in which their calls are counted.
SETTLE, COUNTED = 1.2, 2.0


@pytest.fixture
def registry():
    registry = Registry()
    handler("echo", into=registry)(lambda job, payload: payload)
    return registry


def settings_of(server, **changed):
    return Settings(redis_url=server.url, worker_concurrency=2, **changed)


def connections(client):
    """Return how many connections the server has besides this client's, which does nothing else."""
    return len(client.server.client.client_list()) - 1


def calls(client):
    """Return how often each command was executed."""
    stats = client.server.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


@pytest.mark.parametrize("lease", [1.5, 3.0, 30.0, 300.0])
@pytest.mark.parametrize("poll_interval", [0.5, 1.0, 10.0, 60.0])
def test_a_blocking_pop_ends_in_time_for_polls_and_heartbeats(poll_interval, lease):
    rhythm = Rhythm(poll_interval, lease / BEATS)
    assert rhythm.pop + LATE <= poll_interval
    assert rhythm.pop <= LONGEST
    # One heartbeat does not make the next one due.
    assert rhythm.ahead < rhythm.beat
    # The next blocking pop ends before what is not done ahead of it is due, unless there is hardly any time.
    assert rhythm.ahead > rhythm.pop + 2 * LATE or rhythm.beat < 1


def test_an_idle_worker_makes_few_calls(own_server, own_client, registry):
    """A blocking pop and the fetch behind it for each poll interval, and heartbeats."""
    with Fleet(settings_of(own_server), WORKERS, registry) as fleet:
        wait_until(lambda: fleet.run(SETTLE) or calls(own_client).get("brpoplpush", 0) >= WORKERS)
        before, began = calls(own_client), time.monotonic()
        fleet.run(COUNTED)
        after, passed = calls(own_client), time.monotonic() - began
    for command, most in (("brpoplpush", 1.3), ("evalsha", 1.7)):
        # Fewer on a busy machine.
        assert 0.1 < (after[command] - before[command]) / passed / WORKERS < most


def test_a_quiet_worker_has_one_connection_for_each_queue(own_server, own_client, registry):
    """Its heartbeats need none of their own."""
    queues = ("urgent", "default", "bulk")
    settings = settings_of(own_server, worker_lease=6.0, worker_poll_interval=0.5, worker_queues=queues)
    with Fleet(settings, WORKERS, registry) as fleet:
        fleet.run(COUNTED)
        # Each heartbeat reads the mark of the installation.
        wait_until(lambda: calls(own_client)["hmget"] > WORKERS or fleet.run(0.1))
        # On a busy machine one may be open for a moment for what was due before a blocking pop has ended.
        wait_until(lambda: connections(own_client) == WORKERS * len(queues) or fleet.run(0.1))
        # Hardly any has opened another one meanwhile; only a busy machine makes a blocking pop end late.
        assert own_client.server.client.info("stats")["total_connections_received"] < 1.5 * WORKERS * len(queues)


def test_a_worker_closes_the_connection_that_it_needed_for_jobs(own_server, own_client, start_worker):
    start_worker(own_client, WORKER_CONCURRENCY="2", WORKER_LEASE="6s")
    wait_until(lambda: connections(own_client) == 1)
    with Client(own_server.url) as submitter:
        job_id = submitter.enqueue("nap", {"seconds": 0.2})
        assert submitter.wait(job_id, 20).status == "completed"
    wait_until(lambda: connections(own_client) == 2)
    wait_until(lambda: connections(own_client) == 1)
