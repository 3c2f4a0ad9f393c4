"""When a scheduler looks for what is declared no more, and when it leaves everything alone."""

import time
from dataclasses import replace

import pytest
from gopher.scheduler.withdrawer import Withdrawer


class Clock:
    """The time of the scheduler, which the test sets. The server's goes on by itself."""

    def __init__(self, monkeypatch):
        self.now = 1_790_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def limited(client):
    """Queues with a limit each that is overdue: the time after which it is withdrawn is a millisecond."""
    client.server.settings = replace(client.server.settings, withdraw_after=0.001)
    for name in names(12):
        queue = client.server.queue(name)
        client.server.register_queues(name)
        client.server.run(queue.set_limit("email", 1.0, 1.0, None, origin="handler"))
        client.server.run(queue.announce(["limit:email"]))
    return client


def names(count):
    return [f"q{number:02d}" for number in range(count)]


def in_force(client):
    return len([view for view in client.flow.limits() if view.origin == "handler"])


def steps(withdrawer, clock, count, pause=1.0):
    for _ in range(count):
        withdrawer.step(names(12))
        clock.now += pause


def test_a_few_queues_are_looked_at_with_each_step(limited, clock):
    withdrawer = Withdrawer(limited.server, declares=True)
    # Each is looked at once before, and five at a time.
    steps(withdrawer, clock, 2)
    assert in_force(limited) == 12
    steps(withdrawer, clock, 1)
    assert in_force(limited) == 9
    steps(withdrawer, clock, 3)
    assert in_force(limited) == 0


def announced_at(client, when):
    for name in names(12):
        client.server.client.zadd(client.server.keys.for_queue(name).declared, {"limit:email": when})


def test_what_is_overdue_is_watched_for_three_periods_in_which_all_processes_may_announce_it(limited, clock):
    """As after an outage, or when the server's clock was set: all that is declared seems overdue."""
    limited.server.settings = replace(limited.server.settings, withdraw_after=20.0)
    withdrawer = Withdrawer(limited.server, declares=True)
    announced_at(limited, 1)
    steps(withdrawer, clock, 6)
    assert in_force(limited) == 12
    # All have announced theirs, at a time that is past too by this clock: they are watched anew.
    announced_at(limited, 2)
    steps(withdrawer, clock, 5)
    assert in_force(limited) == 12
    steps(withdrawer, clock, 9)
    assert in_force(limited) == 0


def test_the_time_counts_by_the_server_however_long_it_is_watched(limited, clock):
    """It is watched before it is overdue, so that it is withdrawn soon after."""
    limited.server.settings = replace(limited.server.settings, withdraw_after=20.0)
    withdrawer = Withdrawer(limited.server, declares=True)
    announced_at(limited, limited.inspector.now() - 15_000)
    steps(withdrawer, clock, 20)
    assert in_force(limited) == 12
    announced_at(limited, limited.inspector.now() - 21_000)
    steps(withdrawer, clock, 20)
    assert in_force(limited) == 0


def test_nothing_is_withdrawn_while_no_process_announces(limited, clock):
    withdrawer = Withdrawer(limited.server, declares=False)
    steps(withdrawer, clock, 5)
    assert in_force(limited) == 12
    redis, keys, later = limited.server.client, limited.server.keys, limited.inspector.now() + 60_000
    redis.zadd(keys.workers, {"w1": later})
    steps(withdrawer, clock, 5)
    assert in_force(limited) == 12
    redis.zadd(keys.declaring, {"w1": later})
    steps(withdrawer, clock, 5)
    assert in_force(limited) == 0
