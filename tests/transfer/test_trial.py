"""Moves of many jobs that are killed on the way. `make move` runs the same with a million."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gopher.server.embedded import EmbeddedServer
from tests.topologies.lab import Cluster, Trio
from tests.transfer.trial import Report, Trial

pytestmark = pytest.mark.deep

JOBS = int(os.environ.get("GOPHER_TEST_MOVED", "30000"))
#: How often each command is killed, and how many kills of both there must have been: on a busy machine a command may
#: have ended before it is seen that it has come far enough.
KILLS, LEAST_KILLS = 12, 8
#: MB that a command may use: what Python and the libraries need, and a page of jobs.
MEMORY = 80


@contextmanager
def server(folder: Path) -> Iterator[str]:
    with EmbeddedServer(folder, options={"appendonly": "no"}) as running:
        yield running.url


def assert_sound(report: Report) -> None:
    assert (report.lost, report.doubled, report.wrong) == (0, 0, []), report
    assert max(report.memory.values()) < MEMORY, report


def test_nothing_is_lost_or_doubled_however_often_it_is_killed(tmp_path: Path) -> None:
    with server(tmp_path / "a") as old, server(tmp_path / "b") as new:
        report = Trial((old, "old"), (new, "new"), tmp_path).run(JOBS, KILLS)
    assert_sound(report)
    assert report.kills >= LEAST_KILLS


def test_a_cluster_is_left_and_entered(cluster: Cluster, trio: Trio, tmp_path: Path) -> None:
    with server(tmp_path / "a") as old:
        assert_sound(Trial((old, "old"), (cluster.url, "new"), tmp_path).run(3000, 2))
    assert_sound(Trial((cluster.url, "old"), (trio.url, "new"), tmp_path).run(3000, 2))
