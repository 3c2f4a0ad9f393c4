"""The server is stopped, killed and filled while jobs come in and run."""

import pytest

from tests.faults.lab import System
from tests.faults.storms import full_memory, server_restarts, timeouts


@pytest.fixture(scope="module")
def frail(seed):
    """A system whose lease is longer than its server is ever away."""
    # By default it writes its file up to 2 s late while the disk is busy: a kill would lose what it has answered.
    with System(workers=1, lease="10s", seed=seed, options={"appendfsync": "always"}) as running:
        yield running


def test_no_job_is_lost_or_run_twice_while_the_server_is_stopped_and_killed(frail):
    report = server_restarts(frail, jobs=400, times=1)
    assert report.sound, report
    assert report.audit.completed == 400


def test_a_full_server_takes_nothing_more_drains_and_takes_again(frail):
    report = full_memory(frail, megabytes=12)
    assert report.sound, report
    assert report.audit.completed >= 20


def test_timeouts_are_kept_while_the_server_is_unavailable(frail):
    # A supervisor that waits for the server is late by more than a busy machine makes it.
    report = timeouts(frail, count=4, away=8, seconds=1.0, slack=4.0)
    assert report.sound, report
