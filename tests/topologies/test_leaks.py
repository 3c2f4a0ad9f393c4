"""However often slots move and primaries change, no connection is left over."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest
from redis.cluster import key_slot

from tests.helpers import wait_until
from tests.topologies.faults import PLANNED
from tests.topologies.lab import Cluster, Trio
from tests.topologies.stack import QUEUES, PacedLoad, Stack
from tests.topologies.test_connections import connections
from tests.topologies.test_failover import TIMES

pytestmark = pytest.mark.quiet

#: With FAILOVERS=10 there are 1,000 moves and 100 failovers.
MOVES, FAILOVERS = 100 * TIMES, 5 * TIMES


@contextmanager
def nothing_left(topology, stack):
    """Check that there are as many connections afterwards as before; jobs are submitted and run meanwhile.

    Pools keep what a burst of readers has needed, so there is one before.
    """
    with PacedLoad(stack, 40.0) as load:

        def settled():
            """All processes have used what they use."""
            until, before = time.monotonic() + 3.0, len(load.accepted)
            wait_until(lambda: time.monotonic() >= until and len(load.accepted) > before, 120)
            return connections(topology)

        # One thread of httpx may close an idle connection that another one has just begun to use.
        headers = {"Connection": "close"}
        with (
            httpx.Client(base_url=stack.address, timeout=60, headers=headers) as client,
            ThreadPoolExecutor(32) as readers,
        ):
            # Some may be rejected on a busy machine.
            def is_answered(path):
                return wait_until(lambda: client.get(path).is_success, 60, path)

            assert all(readers.map(is_answered, ["/api/v1/queue/stats", "/api/v1/jobs", "/health"] * 100))
        before, files = settled(), stack.descriptors()
        yield
        after, files_after = 0, 0

        def as_before():
            """Return whether there are no more; descriptors are those of connections to sentinels, too."""
            nonlocal after, files_after
            after, files_after = settled(), stack.descriptors()
            return after <= before + 2 and files_after <= files + 4

        # Those to nodes that are no primaries any more end when they are used next.
        with suppress(AssertionError):
            wait_until(as_before, 120)
        told = f"connections before: {before}, after: {after}; descriptors before: {files}, after: {files_after}"
        sys.stderr.write(f"\n{told}\n")
        assert after <= before + 2, told
        assert files_after <= files + 4, told
        load.stop()


@pytest.mark.deep
def test_slots_that_move_leave_no_connections():
    with Cluster() as cluster, Stack(cluster.url, QUEUES) as stack, nothing_left(cluster, stack):
        slots = [key_slot(stack.client.server.keys.for_queue(queue).prefix.encode()) for queue in QUEUES]
        for number in range(MOVES):
            slot = slots[number % len(slots)]
            source, _ = cluster.move_slot_by_keys(slot)
            wait_until(lambda slot=slot, source=source: cluster.moved(slot, source), 60)


@pytest.mark.deep
@pytest.mark.parametrize("kind", [Trio, Cluster])
def test_failovers_leave_no_connections(kind):
    with kind() as topology, Stack(topology.url, QUEUES) as stack, nothing_left(topology, stack):
        for number in range(FAILOVERS):
            key = stack.client.server.keys.for_queue(QUEUES[number % len(QUEUES)]).prefix
            node, _ = PLANNED.cause(topology, key)
            if kind is Trio:
                # The sentinels would do so in 8 s.
                node.client.replicaof("127.0.0.1", topology.primary_of(key).port)
            topology.settle()
