"""Jobs that are frozen survive what happens to their workers."""

import pytest

from tests.faults.freeze_storm import ENVIRON, FAULTS, freeze_storm
from tests.faults.lab import System


@pytest.mark.deep
def test_frozen_jobs_survive_kills_stops_lost_leases_and_cancellations(seed):
    with System(lease="3s", seed=seed, api=0, children=2, **ENVIRON) as system:
        report = freeze_storm(system, jobs=12, urgent=60, faults=len(FAULTS), lease=3.0)
    assert report.sound, report
