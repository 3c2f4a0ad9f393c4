import shutil
import tempfile
from pathlib import Path

import pytest

from gopher.embedded import EmbeddedServer
from gopher.server import Server
from gopher.settings import Settings


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
