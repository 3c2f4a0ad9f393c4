"""Calls to a node that does not respond are limited, so that calls to other nodes find a thread."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gopher.errors import QueueUnavailable
from gopher.server.waiting_calls import WaitingCalls


def test_as_many_calls_as_allowed_are_retried_and_further_ones_are_rejected_at_once():
    waiting, joined, go = WaitingCalls(2), threading.Barrier(3), threading.Event()

    def retry():
        with waiting.call_to("down") as may_wait:
            assert may_wait()
            assert may_wait()
            joined.wait(60)
            go.wait(60)

    with ThreadPoolExecutor(2) as threads, waiting.call_to("down") as late:
        retried = [threads.submit(retry) for _ in range(2)]
        joined.wait(60)
        # Its first attempt began before the others failed.
        assert not late()
        with pytest.raises(QueueUnavailable), waiting.call_to("down"):
            pass
        with waiting.call_to("up") as may_wait:
            assert may_wait()
        go.set()
        assert [each.result() for each in retried] == [None, None]
    with waiting.call_to("down") as may_wait:
        assert may_wait()


def test_an_error_counts_as_an_end():
    waiting = WaitingCalls(1)

    def fail():
        with waiting.call_to("down") as may_wait:
            assert may_wait()
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            fail()
