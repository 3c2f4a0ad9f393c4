"""AsyncClient over Sentinel and on a cluster, with TLS, and while another server takes over."""

import asyncio
import time
from dataclasses import replace
from uuid import uuid4

import pytest

from gopher import AsyncClient
from gopher.aio import channels
from gopher.config.settings import Settings
from gopher.errors import ServerError
from gopher.queue.keys import Keys
from gopher.server import connections
from tests.topologies.lab import Topology
from tests.topologies.secured import Site
from tests.topologies.stack import TIMEOUT
from tests.topologies.test_every_address import KINDS

pytestmark = pytest.mark.deep

_QUEUES = ["mail", "sms", "images"]


# Without TLS: tests/core/aio.
@pytest.mark.parametrize("kind", ["rediss+sentinel", "rediss+cluster"])
def test_calls_share_few_connections(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The one sentinel may have no processor.
    for module in (channels, connections):
        monkeypatch.setattr(module, "CONNECT_TIMEOUT", TIMEOUT)

    async def use(settings: Settings) -> None:
        async with AsyncClient(settings=replace(settings, redis_timeout=TIMEOUT), connections=3) as client:
            await asyncio.gather(*(client.enqueue("email", {}, queue=f"q{number % 9}") for number in range(300)))
            ids = [await client.enqueue("email", {}, queue=queue) for queue in _QUEUES]
            assert {(await client.job(job_id)).status for job_id in ids} == {"pending"}
            assert await client.cancel(ids[0]) == "cancelled"
            waited = await asyncio.gather(client.wait(ids[0]), *(client.wait(each, 0.1) for each in ids[1:]))
            assert [each.status for each in waited] == ["cancelled", "pending", "pending"]
            assert (await client.stats()).queue_size == 302
            assert (await client.health()).status == "degraded"
            places = client._client.loop_server.pools.channels._places
            assert len(places) == (3 if "cluster" in kind else 1)
            assert all(len(place.open) <= 3 for place in places.values())

    encrypted, start = KINDS[kind]
    with Site(encrypted=encrypted) as site:
        asyncio.run(use(Settings.from_env(start(site))))


def test_it_follows_when_another_server_takes_over(topology: Topology) -> None:
    namespace = f"test-{uuid4().hex[:12]}"
    key = Keys(namespace).for_queue("mail").prefix

    async def use() -> None:
        settings = replace(Settings.for_client(topology.url, namespace=namespace), redis_timeout=TIMEOUT)
        async with AsyncClient(settings=settings) as client:
            first = await client.enqueue("email", {}, queue="mail")
            waiting = asyncio.create_task(client.wait(first, 300))
            node, _ = await asyncio.to_thread(topology.kill_primary, key)
            refused, began = 0, time.monotonic()
            while True:
                try:
                    job_id = await client.enqueue("email", {}, queue="mail")
                    break
                except ServerError:
                    refused += 1
                    # Each is repeated for two seconds; another server may take long to take over on a busy machine.
                    assert refused < 20 or 2 * refused < 20 + time.monotonic() - began < 200
            assert (await client.job(job_id)).status == "pending"
            assert (await client.cancel(job_id)) == "cancelled"
            await asyncio.wait([waiting], timeout=0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await asyncio.to_thread(topology.bring_back, node)

    asyncio.run(use())
