"""What a process makes of what several sentinels say, also when some are wrong, silent or late."""

import selectors
import time
from contextlib import ExitStack

import pytest

from gopher.server.locator import Sentinels
from gopher.server.sentinel_watch import SentinelWatch
from tests.core.server.sentinel import Sentinel
from tests.helpers import wait_until

OLD, NEW = ("127.0.0.1", 7001), ("127.0.0.1", 7002)


@pytest.fixture
def sentinels():
    with ExitStack() as running:
        yield [running.enter_context(Sentinel(OLD)) for _ in range(3)]


class Watched:
    """A watch in the test's own loop."""

    def __init__(self, sentinels):
        self.selector = selectors.DefaultSelector()
        self.changes = []
        addresses = [each.address for each in sentinels]
        self.watch = SentinelWatch(self.selector, addresses, "mymaster", self.changes.append)

    def turn(self):
        self.watch.tick(time.monotonic())
        for key, mask in self.selector.select(0.01):
            if self.selector.get_map().get(key.fd) is key:
                key.data(mask)

    def until(self, holds, seconds=60.0):
        def turned():
            self.turn()
            return holds()

        return wait_until(turned, seconds)


@pytest.fixture
def watched(sentinels, monkeypatch):
    for name, seconds in {"PERIOD": 0.1, "SILENCE": 0.3, "AGAIN": 0.2, "FRESH": 0.5}.items():
        monkeypatch.setattr(f"gopher.server.sentinel_watch.{name}", seconds)
    watched = Watched(sentinels)
    watched.until(lambda: watched.watch.master() == OLD and all(each.subscribers for each in sentinels))
    yield watched
    watched.watch.close()


def test_a_replica_that_is_being_promoted_is_followed_before_the_sentinels_name_it(sentinels, watched):
    sentinels[1].publish(
        "+failover-state-wait-promotion", "slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7001"
    )
    watched.until(lambda: watched.watch.master() == NEW)
    asked = [each.questions for each in sentinels]
    watched.until(lambda: all(each.questions >= before + 2 for each, before in zip(sentinels, asked, strict=True)))
    assert watched.watch.master() == NEW
    for each in sentinels:
        each.master, each.epoch = NEW, 2
    sentinels[1].publish("+switch-master", "mymaster 127.0.0.1 7001 127.0.0.1 7002")
    asked = [each.questions for each in sentinels]
    watched.until(lambda: all(each.questions > before for each, before in zip(sentinels, asked, strict=True)))
    assert watched.changes == [OLD, NEW]


def test_a_promotion_that_does_not_come_is_not_waited_for_long(sentinels, watched, monkeypatch):
    monkeypatch.setattr("gopher.server.sentinel_watch.PROMOTION", 0.3)
    sentinels[0].publish(
        "+failover-state-wait-promotion", "slave 127.0.0.1:7002 127.0.0.1 7002 @ mymaster 127.0.0.1 7001"
    )
    watched.until(lambda: watched.changes == [OLD, NEW, OLD])


def test_another_group_of_the_same_sentinels_does_not_matter(sentinels, watched):
    sentinels[0].publish("+failover-state-wait-promotion", "slave 127.0.0.1:7002 127.0.0.1 7002 @ other 127.0.0.1 7001")
    sentinels[0].publish("+failover-state-wait-promotion", "what is this")
    asked = sentinels[0].questions
    watched.until(lambda: sentinels[0].questions > asked)
    assert watched.changes == [OLD]


def test_events_make_it_ask_all_sentinels_at_once(sentinels, watched):
    asked = [each.questions for each in sentinels]
    began = time.monotonic()
    for _ in range(20):
        sentinels[2].publish("+switch-master", "mymaster 127.0.0.1 7001 127.0.0.1 7002")
        watched.turn()
    watched.until(lambda: all(each.questions > before for each, before in zip(sentinels, asked, strict=True)))
    assert min(each.questions - before for each, before in zip(sentinels, asked, strict=True)) <= 20
    assert time.monotonic() - began < 5


def test_a_sentinel_that_missed_a_failover_is_not_believed(sentinels, watched):
    for each in sentinels[:2]:
        each.master, each.epoch = NEW, 2
    watched.until(lambda: watched.watch.master() == NEW)
    asked = sentinels[2].questions
    watched.until(lambda: sentinels[2].questions >= asked + 2)
    assert watched.changes == [OLD, NEW]
    addresses = [each.address for each in reversed(sentinels)]
    assert all(Sentinels(addresses, "mymaster").locate(5.0) == NEW for _ in range(10))


def test_a_silent_sentinel_is_left_and_asked_again_later(sentinels, watched):
    sentinels[0].is_mute = True
    for each in sentinels[1:]:
        each.master, each.epoch = NEW, 2
    watched.until(lambda: watched.watch.master() == NEW)
    sentinels[0].is_mute, sentinels[0].master, sentinels[0].epoch = False, ("127.0.0.1", 7003), 3
    watched.until(lambda: watched.watch.master() == ("127.0.0.1", 7003))


def test_without_any_sentinel_the_master_is_unknown(sentinels, watched):
    for each in sentinels:
        each.is_mute = True
    watched.until(lambda: watched.watch.master() is None)
    assert watched.changes == [OLD]
