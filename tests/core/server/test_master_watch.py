"""All connections of a process leave a master that was replaced: pooled, in use, and those of event loops."""

import os
import selectors
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import exceptions

from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server import own_threads
from gopher.server.calls import Command
from gopher.server.embedded import EmbeddedServer
from gopher.server.event_loop import EventLoop
from gopher.server.sentinel_watch import PERIOD
from tests.core.server.sentinel import Sentinel
from tests.helpers import free_ports, wait_until
from tests.topologies.sentinel import client_of


@pytest.fixture(scope="module")
def masters():
    folder = Path(tempfile.mkdtemp(prefix="gopher-own-"))
    try:
        with (
            EmbeddedServer(folder / "first", port=free_ports(1)[0]) as first,
            EmbeddedServer(folder / "second", port=free_ports(1)[0]) as second,
        ):
            yield first.port, second.port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sentinel(masters):
    with Sentinel(("127.0.0.1", masters[0])) as running:
        yield running


@pytest.fixture
def settings(sentinel, namespace):
    host, port = sentinel.address
    return Settings(redis_url=f"redis+sentinel://{host}:{port}/mymaster/0", namespace=namespace)


@pytest.fixture
def server(settings):
    with Server(settings, connections=3) as made:
        yield made


def watching() -> int:
    """Return how many threads of this process watch sentinels."""
    return [thread.name for thread in threading.enumerate()].count("gopher-sentinels")


def switch(sentinel, masters):
    sentinel.master, sentinel.epoch = ("127.0.0.1", masters[1]), sentinel.epoch + 1
    sentinel.publish("+switch-master", f"mymaster 127.0.0.1 {masters[0]} 127.0.0.1 {masters[1]}")


def port_of(server):
    return int(server.client.config_get("port")["port"])


def reaches(server, master):
    """Return whether calls reach a master. One that is under way to the other while that is replaced gets no reply."""
    try:
        return port_of(server) == master
    except exceptions.ConnectionError:
        return False


def clients(port):
    """Return how many connections a server has besides the one that asks."""
    client = client_of(port)
    try:
        return len(client.client_list()) - 1
    finally:
        client.close()


def use_until(server, holds):
    """Use the pools until something holds."""

    def used():
        server.run(server.queue("default").promote())
        return holds()

    return wait_until(used)


def test_the_connections_of_a_process_are_dropped_at_once_also_those_in_use(server, sentinel, masters):
    use_until(server, lambda: sentinel.subscribers)
    taken = server.pools.idle("key").take()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(server.client.blpop, "nothing", 20)
        wait_until(lambda: clients(masters[0]) == 2, 20)
        began = time.monotonic()
        switch(sentinel, masters)
        with pytest.raises(exceptions.ConnectionError):
            waiting.result()
    assert time.monotonic() - began < 5
    wait_until(lambda: clients(masters[0]) == 0, 20)
    server.pools.idle("key").put(taken)
    assert port_of(server) == masters[1]
    assert not server.run(server.queue("default").heartbeat("w", 60.0, first=True)).lost


def test_all_clients_of_a_process_share_one_watch_which_ends_with_the_last(settings, sentinel):
    before = threading.active_count()
    others = watching()
    with Server(settings) as first:
        with Server(settings) as second:
            for server in (first, second):
                use_until(server, lambda: sentinel.subscribers)
            assert watching() == others + 1
        assert watching() == others + 1
    wait_until(lambda: watching() == others, 20)
    wait_until(lambda: threading.active_count() <= before + 1, 20)


def test_a_client_that_is_used_after_it_was_closed_follows_its_master_again(server, sentinel, masters):
    others = watching()
    use_until(server, lambda: watching() == others + 1)
    server.close()
    wait_until(lambda: watching() == others, 20)
    use_until(server, lambda: watching() == others + 1)
    assert port_of(server) == masters[0]
    switch(sentinel, masters)
    wait_until(lambda: clients(masters[0]) == 0, 20)
    wait_until(lambda: reaches(server, masters[1]), 20)


def test_a_short_command_starts_no_thread(settings, sentinel):
    with Server(settings) as server:
        for _ in range(3):
            server.client.ping()
        assert not sentinel.subscribers


def test_a_process_without_threads_asks_before_it_uses_a_connection(server, sentinel, masters, monkeypatch):
    monkeypatch.setattr(own_threads, "allowed", False)
    assert port_of(server) == masters[0]
    switch(sentinel, masters)
    until = time.monotonic() + 2 * PERIOD
    wait_until(lambda: time.monotonic() > until, 20)
    port_of(server)
    # A busy machine may take longer to ask.
    wait_until(lambda: port_of(server) == masters[1], 20)
    assert not sentinel.subscribers


def test_a_forked_process_watches_for_itself(server, sentinel, masters):
    use_until(server, lambda: sentinel.subscribers)
    pid = os.fork()
    if not pid:
        try:
            use_until(server, lambda: reaches(server, masters[1]))
            os._exit(0)
        finally:
            os._exit(1)
    wait_until(lambda: sentinel.subscribers == 2, 30)
    assert port_of(server) == masters[0]
    switch(sentinel, masters)
    assert os.waitpid(pid, 0)[1] == 0
    wait_until(lambda: reaches(server, masters[1]), 20)


def test_an_event_loop_watches_in_its_own_thread(server, sentinel, masters):
    others = watching()
    selector = selectors.DefaultSelector()
    loop, replies = EventLoop(server, selector), []
    pop = loop.blocking_pop("nothing", lambda pop, now: pop.readable(now))

    def turn():
        now = time.monotonic()
        loop.check(now)
        pop.wait([Command("nothing", ("BLPOP", "nothing", "20"))], 20.0, now, 1.0)
        loop.pipeline_to("key").add(Command("key", ("CONFIG", "GET", "port")), replies.append)
        loop.flush(now, 1.0)
        for key, mask in selector.select(0.01):
            if selector.get_map().get(key.fd) is key:
                key.data(mask)

    def until(holds):
        wait_until(lambda: (turn(), holds())[1])

    until(lambda: sentinel.subscribers and replies and clients(masters[0]) == 2)
    assert replies[-1][1] == str(masters[0]).encode()
    switch(sentinel, masters)
    until(lambda: replies[-1][1] == str(masters[1]).encode() and clients(masters[1]) == 2)
    until(lambda: clients(masters[0]) == 0)
    assert watching() == others
    loop.remove(pop)
    for pipeline in loop.pipelines:
        pipeline.connection.close()


def test_the_watch_of_a_loop_takes_the_place_of_that_of_an_earlier_one(server, sentinel):
    selector = selectors.DefaultSelector()
    first = EventLoop(server, selector)
    first.check(time.monotonic())
    # Two conversations with the sentinel.
    assert len(first.descriptors()) == 2
    second = EventLoop(server, selector)
    second.check(time.monotonic())
    assert (len(first.descriptors()), len(second.descriptors())) == (0, 2)
