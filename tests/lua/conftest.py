"""Scripts are tested one by one against a real server, with a clock that the test sets."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gopher.config.settings import Settings
from gopher.queue.invariants import findings
from gopher.queue.store import Server
from gopher.server.embedded import EmbeddedServer
from tests.lua.lab import Lab
from tests.servers import redis_6_2


@pytest.fixture(scope="package", params=["newest", pytest.param("oldest", marks=pytest.mark.deep)])
def lab_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of the newest or the oldest version that is promised, without other tests' keys: looking at all of them
    is quick."""
    program = redis_6_2() if request.param == "oldest" else None
    folder = Path(tempfile.mkdtemp(prefix="gopher-lua-"))
    try:
        with EmbeddedServer(folder, options={"appendonly": "no"}, program=program) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(lab_url: str, namespace: str) -> Iterator[Lab]:
    """A queue with a clock. Whatever a test does with it, the invariants hold in the end."""
    with Server(Settings(redis_url=lab_url, namespace=namespace)) as server:
        lab = Lab(server)
        try:
            yield lab
            assert findings(lab.redis, lab.keys) == []
        finally:
            lab.redis.flushdb()
