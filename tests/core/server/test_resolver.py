"""Names are resolved within a time limit, whatever the system's resolver does."""

import os
import socket
import threading
import time
from contextlib import suppress

import pytest
from redis import exceptions

from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server.resolver import Resolver
from tests.helpers import wait_until


@pytest.fixture
def hanging(monkeypatch):
    """Have the name `hanging.test` resolve once the event is set."""
    real, go = socket.getaddrinfo, threading.Event()

    def look_up(host, port, *rest, **hints):
        if host == "hanging.test":
            go.wait(20)
            return real("127.0.0.1", port, *rest, **hints)
        if host == "gone.test":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return real(host, port, *rest, **hints)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield go
    go.set()


def test_a_lookup_that_hangs_ends_at_the_limit_and_the_next_one_does_not_wait(hanging):
    resolver, server = Resolver(), ("hanging.test", 6379)
    began = time.monotonic()
    assert resolver.look_up([server, ("127.0.0.1", 6380)], 0.2).keys() == {("127.0.0.1", 6380)}
    assert time.monotonic() - began < 10
    threads = threading.active_count()
    assert all(resolver.look_up([server], 20.0) == {} for _ in range(10))
    # Those of tests before may end meanwhile.
    assert threading.active_count() <= threads
    hanging.set()
    wait_until(lambda: resolver.look_up([server], 1.0))


def test_the_last_result_is_used_while_a_name_server_hangs(hanging):
    resolver, server = Resolver(), ("hanging.test", 6379)
    hanging.set()
    known = resolver.look_up([server], 60.0)
    assert known
    hanging.clear()
    assert resolver.look_up([server], 0.1) == known
    hanging.set()


def test_a_name_that_no_longer_exists_has_no_address(hanging):
    resolver = Resolver()
    began = time.monotonic()
    assert resolver.look_up([("gone.test", 1)], 20.0) == {}
    assert time.monotonic() - began < 10


def test_numeric_addresses_are_resolved_without_a_thread():
    before = threading.active_count()
    found = Resolver().look_up([("127.0.0.1", 1), ("::1", 2)], 0.0)
    assert [places[0][4][:2] for places in found.values()] == [("127.0.0.1", 1), ("::1", 2)]
    assert threading.active_count() <= before


def test_an_event_loop_does_not_wait_for_a_name_server_that_hangs(hanging):
    with Server(Settings(redis_url="redis://hanging.test:1")) as server:
        began = time.monotonic()
        for _ in range(10):
            with pytest.raises(exceptions.ConnectionError, match="hanging.test could not be resolved in time"):
                server.pools.connection("key", socket_connect_timeout=0.5)
        # Only the first one waits.
        assert time.monotonic() - began < 4.0
        hanging.set()

        def connection():
            with suppress(exceptions.ConnectionError):
                return server.pools.connection("key", socket_connect_timeout=0.5)

        wait_until(connection)


def test_a_forked_process_does_not_wait_for_its_parents_lookups(hanging):
    resolver, server = Resolver(), ("hanging.test", 6379)
    assert resolver.look_up([server], 0.05) == {}
    pid = os.fork()
    if not pid:
        hanging.set()
        os._exit(0 if resolver.look_up([server], 60.0) else 1)
    assert os.waitpid(pid, 0)[1] == 0
