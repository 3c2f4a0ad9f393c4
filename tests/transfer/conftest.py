from collections.abc import Iterator

import pytest

from tests.topologies.lab import Cluster, Trio


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def trio() -> Iterator[Trio]:
    with Trio() as running:
        yield running
