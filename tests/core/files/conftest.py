from pathlib import Path

import pytest

from gopher.config.settings import Settings
from gopher.files.opening import open_store
from tests.s3 import S3Server


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("weed"))
    yield server
    server.stop()


@pytest.fixture
def environ(request, tmp_path: Path, redis_url, namespace, monkeypatch):
    """The variables of a process that uses the store of the test's parameter; in this process, too."""
    found = {"REDIS_URL": redis_url, "GOPHER_NAMESPACE": namespace, "GOPHER_FILES": str(tmp_path / "files")}
    found |= {
        "file": lambda: {"GOPHER_STORE": "file:"},
        "redis": lambda: {"GOPHER_STORE": "redis:"},
        # A bucket for all tests of a module: each has a prefix.
        "s3": lambda: request.getfixturevalue("s3").environ(prefix=namespace),
    }[request.param]()
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def store(environ):
    opened = open_store(Settings.from_env())
    yield opened
    opened.close()
