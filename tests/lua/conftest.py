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


@pytest.fixture(scope="package")
def lab_url() -> Iterator[str]:
    """A server without other tests' keys: looking at all of them is quick."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-lua-"))
    try:
        with EmbeddedServer(folder, options={"appendonly": "no"}) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(lab_url: str, namespace: str) -> Iterator[Lab]:
    """A queue with a clock. Whatever a test does with it, the invariants hold in the end."""
    with Server(Settings(redis_url=lab_url, namespace=namespace)) as server:
        lab = Lab(server)
        yield lab
        assert findings(lab.redis, lab.keys) == []
        lab.redis.flushdb()
