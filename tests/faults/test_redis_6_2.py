"""The oldest server that is promised, Redis 6.2: it says inside another error what its scripts were refused."""

import time

import pytest

from tests.faults.lab import System
from tests.faults.load import Load
from tests.servers import redis_6_2 as redis_6_2_program

pytestmark = pytest.mark.deep


@pytest.fixture
def redis_6_2(seed):
    with System(seed=seed, lease="10s", program=redis_6_2_program()) as running:
        assert running.client.server.client.info("server")["redis_version"].startswith("6.2.")
        yield running


def test_no_job_is_stuck_after_the_server_was_a_replica_for_a_while_three_times(redis_6_2):
    """As in failovers of a managed server."""
    redis = redis_6_2.client.server.client
    with Load(redis_6_2.address, 400, payload={"seconds": 0.02}, pause=0.025) as load:
        for _ in range(3):
            time.sleep(1.0)
            redis.replicaof("127.0.0.1", 1)
            time.sleep(0.8)
            redis.replicaof("NO", "ONE")
    redis_6_2.wait(load.ids, 60)
    found = redis_6_2.audit(load.accepted)
    assert found.sound, found
    assert (found.completed, found.twice) == (400, [])
    assert (load.lies, load.strange) == ([], [])
    assert redis_6_2.totals("reclaimed") == 0
    assert redis_6_2.findings() == []
