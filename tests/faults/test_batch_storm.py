"""Processes of all kinds are killed while a batch is filled and its jobs run."""

import pytest

from tests.faults.batch_storm import ENVIRON, batch_storm
from tests.faults.lab import System


@pytest.mark.deep
def test_a_batch_counts_exactly_and_calls_back_once_while_processes_are_killed():
    with System(**ENVIRON) as system:
        report = batch_storm(system, jobs=2000, kills=6)
        assert not report.wrong, report.wrong
        assert report.faults == 6
