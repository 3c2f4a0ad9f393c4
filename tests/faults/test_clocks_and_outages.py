"""An outage of the server must not look like a clock that was set, nor the other way round."""

import pytest
from gopher.scheduler import duties

from gopher.config.settings import Settings
from gopher.queue import rescuing
from gopher.queue.store import Server
from gopher.server.loop_connection import ALL_BACK
from tests.invariants.lab import START, LabQueue

LEASE = 30.0


class Clocks:
    """The server's clock and our own steady one, both set by the test."""

    def __init__(self, server: Server, queue: LabQueue) -> None:
        self._server, self._key = server, queue.keys.prefix + "clock"
        self.now = 0.0
        self.set(0)

    def set(self, seconds: float) -> None:
        """Let the server's clock stand so many seconds after the beginning."""
        self._server.client.set(self._key, START + round(seconds * 1000))

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.set(self.now)


@pytest.fixture
def direct(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as made:
        yield made


@pytest.fixture
def queue(direct):
    return LabQueue(direct.keys.for_queue("default"))


@pytest.fixture
def clocks(direct, queue, monkeypatch):
    made = Clocks(direct, queue)
    monkeypatch.setattr(rescuing.time, "clock_gettime", lambda _clock: made.now)
    return made


def lease_end(server, queue, worker):
    return (server.client.zscore(queue.keys.workers, worker) - START) / 1000


def settle(server, duty, clocks):
    """Let a duty be done regularly until it no longer waits for workers."""
    until = clocks.now + ALL_BACK + 1
    while clocks.now < until:
        clocks.pass_(duty.took(server.run(duty.call(clocks.now)), clocks.now) - clocks.now)


def test_an_outage_shifts_no_lease_and_rescues_no_job_before_workers_can_reconnect(direct, queue, clocks):
    """A rescue waits in its link while the server is away. Workers that live may find it later than the scheduler."""
    duty = duties.Rescuer(queue, LEASE)
    for worker in ("alive", "dead"):
        direct.run(queue.heartbeat(worker, LEASE, first=True))
    settle(direct, duty, clocks)
    waiting = duty.call(clocks.now)
    clocks.pass_(60)
    rescued = direct.run(waiting)
    assert (rescued.step, rescued.workers) == (None, [])
    again = duty.took(rescued, clocks.now)
    clocks.pass_(again - clocks.now)
    rescued = direct.run(duty.call(clocks.now))
    assert (rescued.step, rescued.workers) == (None, [])
    back_at = clocks.now
    direct.run(queue.heartbeat("alive", LEASE))
    clocks.pass_(duty.took(rescued, clocks.now) - clocks.now)
    rescued = direct.run(duty.call(clocks.now))
    assert (rescued.step, rescued.workers) == (None, ["dead"])
    assert lease_end(direct, queue, "alive") == back_at + LEASE


def test_a_scheduler_that_starts_when_the_server_is_back_waits_for_workers_that_live(direct, queue, clocks):
    for worker in ("alive", "dead"):
        direct.run(queue.heartbeat(worker, LEASE, first=True))
    clocks.pass_(60)
    duty = duties.Rescuer(queue, LEASE)
    rescued = direct.run(duty.call(clocks.now))
    assert rescued.workers == []
    clocks.pass_(duty.took(rescued, clocks.now) - clocks.now)
    direct.run(queue.heartbeat("alive", LEASE))
    settle(direct, duty, clocks)
    assert direct.client.zrange(queue.keys.workers, 0, -1) == [b"alive"]


def test_a_call_that_waits_in_a_server_that_hangs_rescues_no_jobs(direct, queue, clocks):
    """Heartbeats may wait behind it."""
    duty = duties.Rescuer(queue, 4)
    settle(direct, duty, clocks)
    direct.run(queue.heartbeat("alive", 4, first=True))
    began = clocks.now
    clocks.set(began + 4.5)
    rescued = direct.run(duty.call(began))
    assert (rescued.step, rescued.workers) == (None, [])
    clocks.pass_(4.5)
    duty.took(rescued, clocks.now)
    assert direct.run(duty.call(clocks.now)).workers == []


def test_a_first_look_that_waits_for_the_server_does_not_cut_leases_short_later(direct, queue, clocks):
    duty = duties.Rescuer(queue, LEASE)
    waiting = duty.call(clocks.now)
    clocks.pass_(60)
    direct.run(queue.heartbeat("alive", LEASE, first=True))
    duty.took(direct.run(waiting), clocks.now)
    clocks.pass_(1)
    rescued = direct.run(duty.call(clocks.now))
    assert (rescued.step, rescued.workers) == (None, [])
    assert lease_end(direct, queue, "alive") == 60 + LEASE


def test_a_reply_that_is_read_late_is_no_clock_that_was_set(direct, queue, clocks):
    """The scheduler was frozen, or its machine slept."""
    duty = duties.Rescuer(queue, LEASE)
    settle(direct, duty, clocks)
    direct.run(queue.heartbeat("dead", LEASE, first=True))
    ends = lease_end(direct, queue, "dead")
    reply = direct.run(duty.call(clocks.now))
    clocks.pass_(20)
    clocks.pass_(duty.took(reply, clocks.now) - clocks.now)
    assert direct.run(duty.call(clocks.now)).step is None
    assert lease_end(direct, queue, "dead") == ends


def test_a_clock_that_was_set_moves_the_leases_along(direct, queue, clocks):
    duty = duties.Rescuer(queue, LEASE)
    direct.run(queue.heartbeat("alive", LEASE, first=True))
    duty.took(direct.run(duty.call(clocks.now)), clocks.now)
    clocks.pass_(1)
    clocks.set(3601)
    assert direct.run(duty.call(clocks.now)).step == 3_600_000
    assert lease_end(direct, queue, "alive") == 3600 + LEASE
