"""A supervisor that has as many open files as it may: nothing that it can't start ends it, or takes more of them."""

import gc
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from gopher.worker.children.guard import Guard
from gopher.worker.children.start import start_child
from gopher.worker.events import Events
from gopher.worker.queue_side.decisions import Decision

from gopher.config.settings import Settings
from gopher.jobs.handlers import Registry
from tests.worker.children import running


@contextmanager
def files_left(number: int) -> Iterator[None]:
    """Let this process open that many files at most."""
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files() -> list[str]:
    return os.listdir("/proc/self/fd")


@pytest.mark.parametrize("left", range(5))
def test_a_child_that_can_t_be_started_leaves_no_file_open(left):
    gc.collect()
    before = open_files()
    with files_left(left), pytest.raises(OSError, match="Too many open files"):
        start_child(Settings(), Registry(), list, None)
    assert open_files() == before


@pytest.mark.parametrize("left", range(2))
def test_the_guard_of_frozen_jobs_is_started_later(left):
    guard, now = Guard(list), time.monotonic()
    with files_left(left):
        guard.maintain(now)
    assert not guard.is_running
    guard.maintain(now + 10)
    assert guard.is_running
    guard.stop()


@pytest.mark.parametrize("left", range(2))
def test_failures_are_reported_to_middleware_later(left):
    events, now = Events(list), time.monotonic()
    events.tell(running(1), Decision("dead", "crashed", error_type="E", error=b'{"message":"m"}'))
    with files_left(left):
        events.maintain(now)
    assert not events._pid
    assert len(events._waiting) == 1
    events.stop()
    assert not events._waiting
