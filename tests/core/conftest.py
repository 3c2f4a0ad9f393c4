"""A server, reached directly and behind a proxy that loses replies."""

import pytest

from gopher.config.settings import Settings
from gopher.queue.store import Server
from tests.core.proxy import Proxy


@pytest.fixture
def proxy(server):
    with Proxy(server.socket_path) as proxy:
        yield proxy


@pytest.fixture
def direct(redis_url, namespace):
    """The server without anything in between."""
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as direct:
        yield direct
