"""Sentinel groups and clusters with TLS, passwords of their own, and addresses that clients can't use as they are."""

import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from redis import exceptions
from redis.cluster import key_slot

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import GopherError, QueueUnavailable
from gopher.queue.preflight import check_server
from gopher.server.calls import Command
from gopher.server.embedded import EmbeddedServer
from gopher.server.event_loop import EventLoop
from tests.helpers import free_ports, wait_until
from tests.topologies.secured import Site
from tests.topologies.sentinel import client_of


@pytest.fixture(scope="module")
def sentinel() -> Iterator[tuple[Site, dict[str, str]]]:
    with Site() as site:
        settings = site.sentinel()
        yield site, settings


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Site, dict[str, str]]]:
    with Site() as site:
        settings = site.cluster()
        yield site, settings


@pytest.fixture
def connect(namespace) -> Iterator[Callable[..., Client]]:
    made = []

    def connect(settings: dict[str, str], **changes: str) -> Client:
        made.append(Client(settings=Settings.from_env({"GOPHER_NAMESPACE": namespace, **settings, **changes})))
        return made[-1]

    yield connect
    for each in made:
        each.close()


class Loop:
    """An event loop, with connections of its own."""

    def __init__(self, client: Client) -> None:
        self._selector = selectors.DefaultSelector()
        self._event_loop = EventLoop(client.server, self._selector)

    def set(self, key: str) -> object:
        """Write a key; return the reply."""
        replies: list[object] = []
        self._event_loop.pipeline_to(key).add(Command(key, ("SET", key, "value")), replies.append)

        def turn() -> bool:
            self._event_loop.flush(time.monotonic(), 1.0)
            for event, mask in self._selector.select(0.01):
                event.data(mask)
            self._event_loop.check(time.monotonic())
            return bool(replies)

        wait_until(turn, 60, "a reply")
        return replies[0]

    def close(self) -> None:
        for pipeline in self._event_loop.pipelines:
            pipeline.connection.close()


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_threads_and_event_loops_reach_the_server(kind, request, connect, namespace):
    _, settings = request.getfixturevalue(kind)
    client = connect(settings)
    check_server(client.server)
    assert client.job(client.enqueue("any", {})).status == "pending"
    loop = Loop(client)
    for name in ("a", "b", "c", "d"):
        assert loop.set(client.server.keys.for_queue(name).next) == b"OK"
    loop.close()
    # The same from the URL alone, which is what `Client(url)` has.
    with Client(Settings.from_env(settings).redis_url, namespace=namespace) as other:
        assert len(other.jobs().jobs) == 1


SENTINEL_WRONG = {
    "no password": (
        {"REDIS_SENTINEL_USERNAME": "", "REDIS_SENTINEL_PASSWORD": ""},
        "it requires a password: set REDIS_SENTINEL",
    ),
    "a wrong password": (
        {"REDIS_SENTINEL_PASSWORD": "other"},
        "it rejects the password: check REDIS_SENTINEL_USERNAME",
    ),
    "no authority": ({"REDIS_TLS_VERIFY": "required"}, "the server's certificate is not trusted"),
    "no TLS": ({"REDIS_SENTINEL_TLS": "0"}, "it closes the connection without a reply: does it expect TLS?"),
    "another master": ({"REDIS_URL": "other"}, "no Sentinel has a master named 'other': check REDIS_URL"),
}


@pytest.mark.parametrize("name", SENTINEL_WRONG)
def test_what_sentinels_reject_is_explained(name, sentinel, connect):
    _, settings = sentinel
    changes, message = SENTINEL_WRONG[name]
    if "REDIS_URL" in changes:
        changes = {"REDIS_URL": settings["REDIS_URL"].replace("mymaster", changes["REDIS_URL"])}
    with pytest.raises(QueueUnavailable) as caught:
        connect(settings, **changes).server.queues()
    assert message in str(caught.value)


def test_a_wrong_password_of_the_servers_is_told_apart_from_that_of_the_sentinels(sentinel, connect):
    with pytest.raises(GopherError, match="the server rejected the user name or password"):
        connect(sentinel[1], REDIS_PASSWORD="other").server.queues()


def test_a_slot_that_moves_is_followed_through_the_map_of_addresses(cluster, connect):
    site, settings = cluster
    client, loop = connect(settings), Loop(connect(settings))
    key = client.server.keys.for_queue("moving").next
    assert client.server.client.get(key) is None
    for _ in range(2):
        site.move_slot(key_slot(key.encode()))
        assert client.server.client.get(key) is None
        assert client.server.run(Command(key, ("EXISTS", key))) == 0
        assert loop.set(key) == b"OK"
        client.server.client.delete(key)
    loop.close()


def test_sentinels_need_no_tls_and_say_so(connect):
    with Site(encrypted=False) as site:
        settings = site.sentinel()
        client = connect(settings)
        assert client.job(client.enqueue("any", {})).status == "pending"
        loop = Loop(client)
        assert loop.set("key") == b"OK"
        loop.close()
        settings["REDIS_URL"] = settings["REDIS_URL"].replace("redis+", "rediss+")
        with pytest.raises(QueueUnavailable, match="no reply to the TLS handshake: does it use TLS?"):
            connect(settings, REDIS_TIMEOUT="1s").server.queues()
        with pytest.raises(QueueUnavailable, match="the server does not use TLS: use redis:// in place of rediss://"):
            connect(settings, REDIS_SENTINEL_TLS="0", REDIS_TIMEOUT="1s").server.queues()


def test_a_cluster_may_start_later_than_its_clients(connect, tmp_path):
    port, bus = free_ports(2)
    client = connect({"REDIS_URL": f"redis+cluster://127.0.0.1:{port}"})
    with pytest.raises(QueueUnavailable, match="Connection refused"):
        client.enqueue("any", {})
    with EmbeddedServer(tmp_path, port=port, options={"cluster-enabled": "yes", "cluster-port": str(bus)}):
        client_of(port).execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

        def stored() -> str:
            try:
                return client.enqueue("any", {})
            except QueueUnavailable:
                return ""

        assert client.job(wait_until(stored, 60, "the cluster to be up")).status == "pending"


@pytest.mark.deep
def test_a_failover_is_followed_with_tls_and_host_names(connect):
    with Site() as site:
        client = connect(site.sentinel(replica=True), REDIS_TIMEOUT="30s")
        loop = Loop(client)
        assert loop.set("key") == b"OK"
        site.fail_over()

        def is_master() -> bool:
            # A server closes connections when its role changes.
            with suppress(exceptions.ConnectionError):
                return site.nodes[1].role()[0] == b"master"
            return False

        wait_until(is_master, 60, "the replica to be the master")
        job = client.server.keys.for_queue("default").job

        # The one before takes writes for another ten seconds, which are lost.
        def both_have_left_it() -> bool:
            with suppress(exceptions.ConnectionError, QueueUnavailable):
                return (
                    loop.set("after") == b"OK"
                    and site.has_key(1, "after")
                    and site.has_key(1, job(client.enqueue("any", {})))
                )
            return False

        wait_until(both_have_left_it, 60, "writes to reach the new master")
        loop.close()
