"""Alarms ring although queues are added meanwhile, and although a connection breaks."""

import selectors
import time

import pytest
from gopher.scheduler.alarms import BLOCK, Alarms

from gopher.config.settings import Settings
from gopher.server.event_loop import EventLoop
from tests.helpers import wait_until


class Loop:
    """As much of a scheduler's loop as alarms need, against the real server."""

    def __init__(self, client):
        self.client = client.server.client
        self.prefix = client.settings.namespace
        self.selector = selectors.DefaultSelector()
        self.alarms = Alarms(EventLoop(client.server, self.selector), one_each=False)
        self.rung = []

    def add(self, name):
        self.alarms.add(f"{self.prefix}:{name}", lambda: self.rung.append(name))

    def push(self, name):
        self.client.lpush(f"{self.prefix}:{name}", "x")

    def listen(self):
        self.alarms.listen(time.monotonic(), 10.0)

    def turn(self, timeout=60.0):
        self.listen()
        for key, mask in self.selector.select(timeout):
            key.data(mask)

    def break_connection(self):
        """Have the server end the connection that the alarms wait on."""
        wait_until(lambda: len(self._waiting() - self._before) == 1)
        mine = self._waiting() - self._before
        self.client.client_kill_filter(_id=mine.pop())

    def _waiting(self):
        return {each["id"] for each in self.client.client_list() if each["cmd"] == "blpop"}

    def __enter__(self):
        # Another test may have a scheduler running.
        self._before = self._waiting()
        return self

    def __exit__(self, *exc):
        for blocking_pop, _ in self.alarms._blocking_pops:
            blocking_pop.close()
        self.selector.close()


@pytest.fixture
def loop(client):
    with Loop(client) as loop:
        yield loop


def test_rings_for_the_key_that_was_pushed_to(loop):
    for name in ("a", "b"):
        loop.add(name)
    loop.push("b")
    loop.turn()
    assert loop.rung == ["b"]


def test_an_alarm_that_came_before_anybody_listened_rings(loop):
    loop.push("a")
    loop.add("a")
    loop.turn()
    assert loop.rung == ["a"]


def test_an_alarm_that_was_just_given_to_us_is_not_lost_when_a_queue_is_added(loop):
    loop.add("a")
    loop.listen()
    loop.push("a")
    # The server has taken it off the list; nobody has read it yet.
    wait_until(lambda: not loop.client.exists(f"{loop.prefix}:a"))
    loop.add("b")
    loop.turn()
    assert loop.rung == ["a"]


def test_a_queue_that_is_added_while_others_are_listened_for_rings_from_the_next_time_on(loop):
    loop.add("a")
    loop.listen()
    loop.add("b")
    loop.push("a")
    loop.turn()
    loop.push("b")
    loop.turn()
    assert loop.rung == ["a", "b"]


def test_one_that_was_removed_rings_no_more_even_if_it_is_still_listened_for(loop):
    for name in ("a", "b"):
        loop.add(name)
    loop.listen()
    loop.alarms.remove(f"{loop.prefix}:a")
    loop.push("a")
    loop.turn()
    loop.push("b")
    loop.turn()
    assert loop.rung == ["b"]


def test_an_alarm_may_be_lost_with_the_connection_so_all_ring_then(loop):
    for name in ("a", "b"):
        loop.add(name)
    loop.listen()
    loop.break_connection()
    loop.turn()
    assert sorted(loop.rung) == ["a", "b"]


def test_nothing_blocks_for_as_long_as_proxies_of_managed_servers_let_connections_be_idle():
    assert max(BLOCK, Settings().worker_poll_interval) < 30
