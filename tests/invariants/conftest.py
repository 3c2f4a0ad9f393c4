import shutil
import tempfile
from pathlib import Path

import pytest

from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server import idle_connections
from gopher.server.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def lab_server():
    """A server with nothing else in it, so that looking at all of it after each step is quick."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-moves-"))
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            EmbeddedServer(folder, options={"appendonly": "no"}) as embedded,
            Server(Settings(redis_url=embedded.url, namespace="moves", redis_timeout=60.0)) as server,
        ):
            # A call that takes longer than a second is repeated, and a repeat is answered otherwise.
            patch.setattr(idle_connections, "FIRST_ATTEMPT", 60.0)
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
