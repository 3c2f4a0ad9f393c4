"""With durability replicated, no failover loses what was acknowledged: neither a crash nor a planned one."""

import asyncio
import sys
from functools import partial

import pytest

from gopher import AsyncClient
from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import NotReplicated
from tests.helpers import wait_until
from tests.topologies.faults import KILL, PLANNED
from tests.topologies.stack import QUEUES, Stack
from tests.topologies.trial import Fault, run

pytestmark = pytest.mark.quiet


def kill_and_restart(topology, key):
    """Kill a primary, and start it again once it is replaced: in a cluster, nothing can be confirmed before."""
    node, at = topology.kill_primary(key)
    KILL.end(topology, node)
    return node, at


RESTART = Fault(kill_and_restart, lambda topology, node: None, blind=KILL.blind)


def trial(name, topology, fault):
    """Cause a fault three times under load, with durability replicated: what was acknowledged is there, and has run."""
    with Stack(topology.url, QUEUES, GOPHER_DURABILITY="replicated") as stack:
        report = run(topology, stack, [(fault, queue) for queue in ("mail", "default", "sms")])
        # What was measured, for who looks: pytest -s.
        sys.stderr.write(f"\n{name}: {report}\n")
        assert not report.lies
        assert not report.strange
        # Not even in a moment for which another durability has an excuse.
        assert not report.unreplicated
        assert not report.lost, stack.logs()
        assert not report.unfinished, [stack.record(job_id) for job_id in report.unfinished]


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["trio", "cluster"])
def test_killed_primaries_lose_nothing_that_was_acknowledged(kind, request):
    trial(f"{kind}, killed", request.getfixturevalue(kind), RESTART)


@pytest.mark.deep
def test_planned_failovers_of_sentinel_lose_nothing_that_was_acknowledged(trio):
    trial("trio, planned", trio, PLANNED)


def replica_was_promoted(trio, demoted):
    return any(node.role() == "master" for node in trio.nodes if node is not demoted)


@pytest.mark.deep
def test_the_first_job_of_a_process_that_starts_during_a_planned_failover_is_kept_or_not_confirmed(trio, namespace):
    """It has not seen the promoted replica leave; the other one still confirms what the demoted master takes."""
    settings = Settings(redis_url=trio.url, namespace=namespace, durability="replicated")
    for _ in range(3):
        demoted, _ = trio.fail_over("")
        wait_until(partial(replica_was_promoted, trio, demoted), 60, "a replica to be promoted")
        with Client(settings=settings) as client:
            try:
                job_id = client.enqueue("echo", {})
            except NotReplicated:
                job_id = None
        trio.settle()
        if job_id is not None:
            with Client(settings=settings) as client:
                assert client.job(job_id).status == "pending"


@pytest.mark.deep
def test_a_new_process_confirms_nothing_while_most_sentinels_are_silent(trio, namespace):
    """They may be replacing the master that it sees."""
    settings = Settings(redis_url=trio.url, namespace=namespace, durability="replicated")
    trio.settle()
    with Client(settings=settings) as known:
        known.enqueue("echo", {})
        for sentinel in trio.sentinels[:2]:
            sentinel.freeze()
        try:
            with Client(settings=settings) as new, pytest.raises(NotReplicated, match="most Sentinels") as caught:
                new.enqueue("echo", {})
            with pytest.raises(NotReplicated, match="most Sentinels"):
                asyncio.run(enqueue_once(settings))
            # It would have seen a replica leave.
            known.enqueue("echo", {})
        finally:
            for sentinel in trio.sentinels[:2]:
                sentinel.thaw()
        trio.settle()
        assert known.job(caught.value.job_ids[0]).status == "pending"
    with Client(settings=settings) as new:
        new.enqueue("echo", {})
    asyncio.run(enqueue_once(settings))


async def enqueue_once(settings):
    async with AsyncClient(settings=settings) as client:
        await client.enqueue("echo", {})
