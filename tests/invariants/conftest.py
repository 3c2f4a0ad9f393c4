import shutil
import tempfile
from pathlib import Path

import pytest

from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def lab_server():
    """A server with nothing else in it, so that looking at all of it after each step is quick."""
    folder = Path(tempfile.mkdtemp(prefix="gopher-moves-"))
    try:
        with (
            EmbeddedServer(folder, options={"appendonly": "no"}) as embedded,
            Server(Settings(redis_url=embedded.url, namespace="moves")) as server,
        ):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
