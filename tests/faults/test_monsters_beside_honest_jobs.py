"""Handlers that misbehave in every way, beside honest ones."""

import pytest

from tests.faults.lab import System
from tests.faults.storms import monsters
from tests.worker.processes import QUICK


@pytest.fixture(scope="module")
def zoo(seed):
    with System(
        workers=1,
        api=0,
        seed=seed,
        GOPHER_HANDLERS="tests.monsters",
        WORKER_MAX_CRASHES="1",
        WORKER_KILL_GRACE=QUICK["WORKER_KILL_GRACE"],
    ) as running:
        yield running


def test_each_misbehaving_job_fails_with_its_reason_and_ordinary_jobs_complete(zoo):
    report = monsters(zoo, each=1, honest=200)
    assert report.sound, report
    assert report.faults >= 25
