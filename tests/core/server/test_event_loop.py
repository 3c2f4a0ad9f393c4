"""The rest of an event loop while calls are under way: it ends with the server's answer."""

import selectors
import time

import pytest

from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server.event_loop import Wires
from tests.helpers import wait_until


@pytest.fixture
def ours(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as ours:
        yield ours


@pytest.fixture
def wires(ours):
    with selectors.DefaultSelector() as selector:
        wires = Wires(ours, selector)
        yield wires
        for link in wires.links:
            link.wire.close()


def send_a_call(wires, ours, answers):
    link = wires.link_to(ours.keys.of("default").prefix)
    link.add(ours.queue("default").heartbeat("w", 60.0, first=True), answers.append)
    wires.flush(time.monotonic(), 0.4)
    return link


def rest(wires, seconds):
    """Return how long it took."""
    began = time.monotonic()
    wires.wait_for_answer(seconds)
    return time.monotonic() - began


def test_an_answer_ends_it(wires, ours):
    answers = []
    link = send_a_call(wires, ours, answers)
    assert rest(wires, 10.0) < 5.0
    link.readable(time.monotonic())
    assert not answers[0].lost


def test_a_server_that_hangs_is_not_waited_for_longer(wires, ours):
    answers = []
    # Connected before the server takes no more writes.
    link = send_a_call(wires, ours, answers)
    wait_until(lambda: link.readable(time.monotonic()) or answers)
    ours.client.client_pause(2000, all=False)
    try:
        send_a_call(wires, ours, answers)
        assert 0.05 <= rest(wires, 0.05) < 1.5
        assert link.busy
    finally:
        ours.client.client_unpause()


def test_with_nothing_under_way_it_is_a_rest(wires, ours):
    wires.link_to(ours.keys.of("default").prefix)
    assert rest(wires, 0.02) >= 0.02


def test_links_to_queues_that_are_no_more_are_closed_once_they_are_idle(wires, ours, monkeypatch):
    """As in a cluster, where there is one for each slot."""
    monkeypatch.setattr(ours.pools, "place_of", lambda key: key)
    prefixes = [ours.keys.of(name).prefix for name in ("default", "mail", "gone")]
    answers = []
    link = send_a_call(wires, ours, answers)
    for prefix in prefixes[1:]:
        wires.link_to(prefix)
    wires.close_unused([prefixes[1]])
    assert [each.key for each in wires.links] == prefixes[:2]
    wait_until(lambda: link.readable(time.monotonic()) or answers)
    wires.close_unused([prefixes[1]])
    assert [each.key for each in wires.links] == [prefixes[1]]
    assert not link.wire.connected
