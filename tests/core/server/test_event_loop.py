"""The rest of an event loop while calls are under way: it ends with the server's answer."""

import selectors
import time

import pytest

from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server.event_loop import EventLoop
from tests.helpers import wait_until


@pytest.fixture
def ours(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as ours:
        yield ours


@pytest.fixture
def event_loop(ours):
    with selectors.DefaultSelector() as selector:
        event_loop = EventLoop(ours, selector)
        yield event_loop
        for pipeline in event_loop.pipelines:
            pipeline.connection.close()


def send_a_call(event_loop, ours, answers):
    pipeline = event_loop.pipeline_to(ours.keys.for_queue("default").prefix)
    pipeline.add(ours.queue("default").heartbeat("w", 60.0, first=True), answers.append)
    event_loop.flush(time.monotonic(), 0.4)
    return pipeline


def rest(event_loop, seconds):
    """Return how long it took."""
    began = time.monotonic()
    event_loop.wait_for_answer(seconds)
    return time.monotonic() - began


def test_an_answer_ends_it(event_loop, ours):
    answers = []
    pipeline = send_a_call(event_loop, ours, answers)
    assert rest(event_loop, 10.0) < 5.0
    pipeline.readable(time.monotonic())
    assert not answers[0].lost


def test_a_server_that_hangs_is_not_waited_for_longer(event_loop, ours):
    answers = []
    # Connected before the server takes no more writes.
    pipeline = send_a_call(event_loop, ours, answers)
    wait_until(lambda: pipeline.readable(time.monotonic()) or answers)
    ours.client.client_pause(20_000, all=False)
    try:
        send_a_call(event_loop, ours, answers)
        assert 0.05 <= rest(event_loop, 0.05) < 10
        assert pipeline.busy
    finally:
        ours.client.client_unpause()


def test_with_nothing_under_way_it_is_a_rest(event_loop, ours):
    event_loop.pipeline_to(ours.keys.for_queue("default").prefix)
    assert rest(event_loop, 0.02) >= 0.02


def test_links_to_queues_that_are_no_more_are_closed_once_they_are_idle(event_loop, ours, monkeypatch):
    """As in a cluster, where there is one for each slot."""
    monkeypatch.setattr(ours.pools, "place_of", lambda key: key)
    prefixes = [ours.keys.for_queue(name).prefix for name in ("default", "mail", "gone")]
    answers = []
    pipeline = send_a_call(event_loop, ours, answers)
    for prefix in prefixes[1:]:
        event_loop.pipeline_to(prefix)
    event_loop.close_unused([prefixes[1]])
    assert [each.key for each in event_loop.pipelines] == prefixes[:2]
    wait_until(lambda: pipeline.readable(time.monotonic()) or answers)
    event_loop.close_unused([prefixes[1]])
    assert [each.key for each in event_loop.pipelines] == [prefixes[1]]
    assert not pipeline.connection.connected
