"""The benchmarks' own tests take the server as it is: nothing is fetched for them."""

import os

import pytest

from benchmarks import server
from gopher.server.embedded import find_server


@pytest.fixture(autouse=True)
def plain_server(monkeypatch):
    monkeypatch.setenv("GOPHER_REDIS_SERVER", os.fspath(find_server()))
    server.program.cache_clear()
    server.version.cache_clear()
