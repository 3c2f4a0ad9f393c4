"""An outage of the server must not look like a clock that was set, nor the other way round."""

import pytest
from gopher.scheduler import duties

from gopher.config.settings import Settings
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

    def monotonic(self) -> float:
        return self.now


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
    monkeypatch.setattr(duties.time, "monotonic", made.monotonic)
    return made


def lease_end(server, queue, worker):
    return (server.client.zscore(queue.keys.workers, worker) - START) / 1000


def test_an_outage_shifts_no_lease_and_rescues_no_job_before_workers_can_reconnect(direct, queue, clocks):
    """A rescue waits in its link while the server is away. Workers that live may find it later than the scheduler."""
    duty = duties.Rescuer(queue, LEASE)
    for worker in ("alive", "dead"):
        direct.run(queue.heartbeat(worker, LEASE, first=True))
    duty.took(direct.run(duty.call(clocks.now)), clocks.now)
    clocks.pass_(1)
    waiting = duty.call(clocks.now)
    clocks.pass_(60)
    rescued = direct.run(waiting)
    assert (rescued.step, rescued.workers) == (None, [])
    again = duty.took(rescued, clocks.now)
    assert again == clocks.now + ALL_BACK
    direct.run(queue.heartbeat("alive", LEASE))
    clocks.pass_(ALL_BACK)
    rescued = direct.run(duty.call(clocks.now))
    assert (rescued.step, rescued.workers) == (None, ["dead"])
    assert lease_end(direct, queue, "alive") == 61 + LEASE


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


def test_a_clock_that_was_set_moves_the_leases_along(direct, queue, clocks):
    duty = duties.Rescuer(queue, LEASE)
    direct.run(queue.heartbeat("alive", LEASE, first=True))
    duty.took(direct.run(duty.call(clocks.now)), clocks.now)
    clocks.pass_(1)
    clocks.set(3601)
    assert direct.run(duty.call(clocks.now)).step == 3_600_000
    assert lease_end(direct, queue, "alive") == 3600 + LEASE
