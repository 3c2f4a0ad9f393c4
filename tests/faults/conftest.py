"""The systems of the laboratory. Each test of the short form prints the seed that it ran with."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.faults.lab import System


@pytest.fixture(scope="session")
def seed() -> int:
    """Of everything that is drawn; `FAULTS_SEED=...` repeats a run."""
    return int(os.environ.get("FAULTS_SEED", random.randrange(10**6)))


@pytest.fixture(autouse=True)
def _show_seed(seed: int) -> None:
    print(f"FAULTS_SEED={seed}")  # noqa: T201 - pytest shows it where a test fails


@pytest.fixture(scope="package")
def system(seed: int) -> Iterator[System]:
    """Two workers of four children, two processes of the API, a scheduler: for all tests that leave it whole."""
    with System(seed=seed) as running:
        yield running


@pytest.fixture(scope="module")
def unhurried(seed: int) -> Iterator[System]:
    """As `system`, for tests that find each job run once: a lease that no stall of a busy machine outlasts."""
    with System(seed=seed, lease="15s") as running:
        yield running


@pytest.fixture(scope="package")
def proxied(seed: int) -> Iterator[System]:
    """One worker, one process of the API and a scheduler that reach the server through the fault proxy.

    The API tries for two seconds before it answers that nothing was stored: on a busy machine, too, the lease has to
    last longer than that.
    """
    with System(workers=1, api=1, proxied=True, seed=seed, lease="4s") as running:
        yield running
