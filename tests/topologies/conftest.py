import pytest

from tests.topologies.lab import Cluster, Trio
from tests.topologies.stack import QUEUES, Stack


@pytest.fixture(scope="session")
def trio():
    with Trio() as running:
        yield running


@pytest.fixture(scope="session")
def cluster():
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session", params=["trio", "cluster"])
def topology(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def trio_stack(trio):
    with Stack(trio.url, QUEUES) as running:
        yield running


@pytest.fixture(scope="session")
def cluster_stack(cluster):
    with Stack(cluster.url, QUEUES) as running:
        yield running


@pytest.fixture(scope="session", params=["trio_stack", "cluster_stack"])
def stack(request):
    return request.getfixturevalue(request.param)
