"""Scripts are tested one by one against a real server, with a clock that the test sets."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gopher.config.settings import Settings
from gopher.queue.invariants import findings
from gopher.queue.store import Server
from gopher.server import idle_connections
from gopher.server.embedded import EmbeddedServer
from tests.lua.lab import Lab
from tests.servers import PROGRAMS


@pytest.fixture(scope="package", params=["newest", *(pytest.param(name, marks=pytest.mark.deep) for name in PROGRAMS)])
def lab_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of the newest version or of another one, without other tests' keys: looking at all of them is quick."""
    program = PROGRAMS[request.param]() if request.param in PROGRAMS else None
    folder = Path(tempfile.mkdtemp(prefix="gopher-lua-"))
    try:
        with EmbeddedServer(folder, options={"appendonly": "no"}, program=program) as server:
            yield server.url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(lab_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A queue with a clock. Whatever a test does with it, the invariants hold in the end."""
    # A call that takes longer than a second is repeated, and a repeat is answered otherwise. Ten thousand jobs in one
    # call, or one whose lines are traced, may take longer.
    monkeypatch.setattr(idle_connections, "FIRST_ATTEMPT", 60.0)
    with Server(Settings(redis_url=lab_url, namespace=namespace, redis_timeout=60.0)) as server:
        lab = Lab(server)
        try:
            yield lab
            assert findings(lab.redis, lab.keys) == []
        finally:
            lab.redis.flushdb()
