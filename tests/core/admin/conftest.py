"""Two installations on one server, for exports and imports."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from gopher.client import Client
from gopher.queue.invariants import findings


@pytest.fixture
def source(redis_url: str, namespace: str) -> Iterator[Client]:
    with Client(redis_url, namespace=namespace) as client:
        yield client


@pytest.fixture
def target(redis_url: str) -> Iterator[Client]:
    """Another installation; whatever is imported, its invariants hold."""
    with Client(redis_url, namespace=f"target-{uuid4().hex[:8]}") as client:
        yield client
        for queue in client.server.queues():
            assert findings(client.server.client, client.server.keys.for_queue(queue)) == []
