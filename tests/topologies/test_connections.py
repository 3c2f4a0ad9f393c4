"""Connections to a Sentinel group and to a cluster that are well, and how they find their way when things move."""

import asyncio
import selectors
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, QueueUnavailable
from gopher.queue.preflight import check_server
from gopher.queue.store import Server
from gopher.server import connections as connections_module
from gopher.server import idle_connections
from gopher.server.calls import Command
from gopher.server.connections import CONNECT_TIMEOUT
from gopher.server.embedded import EmbeddedServer
from gopher.server.event_loop import EventLoop
from gopher.server.locator import ClusterMap, Sentinels
from tests.helpers import free_ports, wait_until, wait_until_started
from tests.pulse import Pulse
from tests.tls_endpoint import TlsEndpoint
from tests.topologies.sentinel import MASTER
from tests.topologies.stack import TIMEOUT
from tests.worker.processes import Worker

pytestmark = pytest.mark.quiet

#: Keys on each of the three nodes of a cluster.
QUEUES = ("mail", "reports", "images", "default", "pictures", "sms")


@pytest.fixture
def server(topology, namespace):
    with Server(Settings(redis_url=topology.url, namespace=namespace), connections=3) as made:
        yield made


def connections(topology) -> int:
    """Return how many clients the nodes count, their own replicas and sentinels left out."""
    nodes = [node for node in topology.nodes if node.server.running]
    return sum(len(node.client.client_list(_type="normal")) for node in nodes)


def test_a_client_that_was_closed_connects_again(topology, namespace):
    settings = replace(Settings.for_client(topology.url, namespace=namespace), redis_timeout=TIMEOUT)
    with Client(settings=settings) as client:
        for number in range(1, 3):
            jobs = [client.enqueue("email", {}, queue=queue) for queue in QUEUES]
            assert client.stats().queue_size == number * len(QUEUES)
            assert {client.job(job_id).status for job_id in jobs} == {"pending"}
            client.close()


def test_connections_outside_the_pools_are_never_counted(server):
    for _ in range(10):
        connection = server.pools.connection("key", socket_timeout=2.0)
        connection.connect()
        connection.disconnect()
    assert server.client.set("key", "value")


@pytest.fixture
def patient_server(topology, namespace, monkeypatch):
    """As `server`; but no reply, and no wait for a connection, is given up because the machine is busy."""
    monkeypatch.setattr(idle_connections, "FIRST_ATTEMPT", 60.0)
    monkeypatch.setattr(connections_module, "POOL_TIMEOUT", 60.0)
    settings = Settings(redis_url=topology.url, namespace=namespace, redis_timeout=60.0)
    with Server(settings, connections=3) as made:
        yield made


def test_sixteen_readers_at_once_all_get_their_answers(patient_server):
    server = patient_server
    queues = [server.queue(name) for name in QUEUES]
    for queue in queues:
        server.register_queues(queue.keys.queue)

    def read(number: int) -> int:
        for round_ in range(20):
            keys = queues[(number + round_) % len(queues)].keys
            server.client.hgetall(keys.job("1"))
            pipe = server.client.pipeline(transaction=False)
            # Over all nodes, and each reader begins with another one.
            for at in range(len(queues)):
                pipe.exists(queues[(number + at) % len(queues)].keys.job("1"))
            pipe.execute()
            server.run(server.queue(keys.queue).promote())
        return number

    with ThreadPoolExecutor(16) as readers:
        assert sorted(readers.map(read, range(16))) == list(range(16))


def test_nothing_is_left_over_when_places_are_looked_up_while_a_connection_is_out(topology, server):
    idle = server.pools.idle("key")
    idle.put(idle.take())
    before = connections(topology)
    for _ in range(20):
        taken = [server.pools.idle("key").take() for _ in range(2)]
        server.pools.refresh()
        for connection in taken:
            server.pools.idle("key").put(connection)
    assert server.client.set("key", "value")
    # Three idle connections, and one of redis-py's own a node. Processes of other tests may have theirs for a moment.
    wait_until(lambda: connections(topology) <= before + 3 + 6)


def test_more_threads_than_redis_pys_own_limit_have_a_connection_of_a_cluster_each(cluster, namespace):
    with Server(Settings(redis_url=cluster.url, namespace=namespace)) as server:
        idle = server.pools.idle("key")
        taken = [idle.take() for _ in range(101)]
        assert all(each.is_connected for each in taken)
        for each in taken:
            idle.put(each)


def test_an_idle_list_that_was_given_up_keeps_no_connection(server):
    idle = server.pools.idle("key")
    connection = idle.take()
    idle.retire()
    idle.put(connection)
    assert not connection.is_connected
    assert not idle._idle


@pytest.mark.deep
def test_connections_to_a_node_that_has_left_are_closed_idle_or_in_use(cluster, namespace):
    settings = Settings(redis_url=cluster.url, namespace=namespace, redis_timeout=TIMEOUT)
    with Server(settings, connections=4) as server:
        idle = server.pools.idle("key")
        pool = server.pools.pool_for("key")
        unused, in_use, taken = idle.take(), idle.take(), pool.get_connection()
        released = pool.get_connection()
        pool.release(released)
        idle.put(unused)
        node, _ = cluster.kill_primary("key")
        wait_until(lambda: cluster.replaced(node), 120)
        server.pools.refresh()

        def stored():
            # The new primary may still think that the cluster is down.
            with suppress(RedisError):
                return server.client.set("key", "value")

        assert wait_until(stored)
        assert not any(each.is_connected for each in (unused, released))
        idle.put(in_use)
        pool.release(taken)
        assert not any(each.is_connected for each in (in_use, taken))
        cluster.bring_back(node)


def test_a_frozen_sentinel_keeps_no_client_waiting(trio):
    sentinels = Sentinels([("127.0.0.1", port) for port in trio.sentinel_ports], MASTER)
    master = trio.primary_of("").port
    for frozen in range(3):
        with trio.frozen_sentinel(frozen):
            began = time.monotonic()
            assert sentinels.locate(5.0) == ("127.0.0.1", master)
            assert time.monotonic() - began < 4.0


def _resolve(monkeypatch, name, look_up):
    """Have `look_up` say what a name stands for, as a resolver would."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **hints: (look_up if host == name else real)(host, *rest, **hints)
    )


def test_a_sentinel_is_found_at_any_address_of_its_name(trio, monkeypatch):
    """`localhost` often is ::1 first, and the sentinel listens on 127.0.0.1."""
    port, real, master = trio.sentinel_ports[0], socket.getaddrinfo, trio.primary_of("").port

    def look_up(_host, port, **hints):
        return [*real("::1", port, **hints), *real("127.0.0.1", port, **hints)]

    _resolve(monkeypatch, "both.test", look_up)
    assert Sentinels([("both.test", port)], MASTER).locate(2.0)[1] == master


def test_a_name_that_is_slow_to_look_up_takes_no_time_from_the_others(trio, monkeypatch):
    """That of a container that was removed, say."""
    asked = []

    def look_up(*_address, **_hints):
        asked.append(time.monotonic())
        time.sleep(3.0)
        raise socket.gaierror("temporary failure in name resolution")

    _resolve(monkeypatch, "gone.test", look_up)
    sentinels = Sentinels([("gone.test", 1), ("127.0.0.1", trio.sentinel_ports[0])], MASTER)
    master = trio.primary_of("").port
    for _ in range(3):
        assert sentinels.locate(2.0)[1] == master
    assert len(asked) == 1


def test_a_cluster_is_asked_through_any_node_that_answers(cluster):
    frozen = cluster.nodes[0]
    frozen.server._process.send_signal(signal.SIGSTOP)
    try:
        found = ClusterMap([("127.0.0.1", frozen.port), ("127.0.0.1", cluster.nodes[1].port)])
        began = time.monotonic()
        place = found.locate("gopher:{mail}:next", 5.0)
        assert time.monotonic() - began < 4.0
    finally:
        frozen.server._process.send_signal(signal.SIGCONT)
    wait_until(cluster.sound)
    assert place == ("127.0.0.1", cluster.primary_of("gopher:{mail}:next").port)


class SlowEndpoint(TlsEndpoint):
    """Passes connections on only after longer than it may take to connect, as a machine that is busy does."""

    async def _open(self):
        await asyncio.sleep(1.5 * CONNECT_TIMEOUT)
        return await super()._open()


def test_all_who_ask_for_a_cluster_that_is_slow_to_answer_at_first_wait_for_it(cluster, namespace):
    """64 requests reach an API that has just started, say."""
    with SlowEndpoint(cluster.nodes[0].port, None) as slow:
        settings = Settings(redis_url=f"redis+cluster://127.0.0.1:{slow.port}", namespace=namespace)
        with Server(settings) as server, ThreadPoolExecutor(16) as readers:
            assert set(readers.map(lambda _: server.client.exists(server.keys.workers), range(16))) == {0}


def test_all_who_wait_for_a_cluster_are_told_at_once_that_there_is_none(namespace):
    def ask(_number):
        with pytest.raises(QueueUnavailable, match="the server is unreachable"):
            server.client.exists("key")
        return time.monotonic()

    with SlowEndpoint(free_ports(1)[0], None) as slow, ThreadPoolExecutor(16) as readers, Pulse() as pulse:
        settings = Settings(redis_url=f"redis+cluster://127.0.0.1:{slow.port}", namespace=namespace)
        with Server(settings) as server:
            ended = list(readers.map(ask, range(16)))
        # Looked up by one after the other, it would take as long for each.
        assert pulse.allows(max(ended) - min(ended), 1.0), f"told over {max(ended) - min(ended):.2f} s; {pulse}"


@pytest.fixture
def mute():
    """A server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


def test_a_lookup_gives_up_at_its_deadline_and_is_not_repeated_at_once(mute):
    sentinels = Sentinels([mute], MASTER)
    began = time.monotonic()
    with pytest.raises(Exception, match=r"no Sentinel names the master 'mymaster' \(127.0.0.1:[0-9]+: no reply\)"):
        sentinels.locate(0.3)
    assert 0.25 < time.monotonic() - began < 4.0
    began = time.monotonic()
    with pytest.raises(Exception, match="no Sentinel names the master 'mymaster'"):
        sentinels.locate(5.0)
    assert time.monotonic() - began < 4.0


def test_an_unknown_master_is_reported(trio):
    with pytest.raises(Exception, match="no Sentinel has a master named 'other'"):
        Sentinels([("127.0.0.1", trio.sentinel_ports[0])], "other").locate(5.0)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_reached(tmp_path):
    (port,) = free_ports(1)
    settings = Settings(redis_url=f"redis://[::1]:{port}")
    with EmbeddedServer(tmp_path / "server", port=port, options={"bind": "::1"}), Server(settings) as server:
        assert server.client.ping()
        assert not server.run(server.queue("default").heartbeat("w", 60.0, first=True)).lost


def test_a_node_that_evicts_is_noticed_at_the_start_whichever_it_is(cluster, namespace):
    with Server(Settings(redis_url=cluster.url, namespace=namespace), connections=2) as server:
        for name in QUEUES:
            node = cluster.primary_of(server.keys.for_queue(name).prefix)
            node.client.config_set("maxmemory-policy", "allkeys-lru")
            try:
                with pytest.raises(ConfigurationError, match="maxmemory-policy is allkeys-lru"):
                    check_server(server)
            finally:
                node.client.config_set("maxmemory-policy", "noeviction")
        check_server(server)


def answered(event_loop, selector, key, seconds=60.0):
    """Write where a key is, and turn the loop until it is answered."""
    replies = []
    event_loop.pipeline_to(key).add(Command(key, ("SET", key, "value")), replies.append)

    def turn():
        event_loop.flush(time.monotonic(), 1.0)
        for event, mask in selector.select(0.01):
            event.data(mask)
        event_loop.check(time.monotonic())
        return replies

    return wait_until(turn, seconds, "an answer")


def test_an_event_loop_follows_where_a_slot_goes(cluster, namespace):
    with Server(Settings(redis_url=cluster.url, namespace=namespace), connections=2) as server:
        selector = selectors.DefaultSelector()
        event_loop = EventLoop(server, selector)
        key = server.keys.for_queue("mail").next
        assert answered(event_loop, selector, key) == [b"OK"]
        for _ in range(2):
            before = cluster.primary_of(key)
            # The one that was the primary before may still be on its way to become a replica.
            replica = wait_until(lambda before=before: next(iter(cluster.replicas_of(before)), None))
            replica.client.execute_command("CLUSTER", "FAILOVER")
            wait_until(lambda replica=replica: cluster.primary_of(key) is replica)
            assert answered(event_loop, selector, key) == [b"OK"]
            assert server.client.get(key) == b"value"
        wait_until(cluster.sound)
        for pipeline in event_loop.pipelines:
            pipeline.connection.close()


def test_keys_of_several_nodes_have_links_of_their_own_that_can_be_let_go(cluster, namespace):
    with Server(Settings(redis_url=cluster.url, namespace=namespace), connections=2) as server:
        selector = selectors.DefaultSelector()
        event_loop = EventLoop(server, selector)
        keys = [server.keys.for_queue(name) for name in QUEUES]
        assert len({id(event_loop.pipeline_to(each.prefix)) for each in keys}) == len(QUEUES)
        assert all(event_loop.pipeline_to(each.next) is event_loop.pipeline_to(each.prefix) for each in keys)
        own = server.keys.worker("w")
        assert answered(event_loop, selector, own)
        event_loop.forget(own)
        assert len(event_loop.descriptors()) == 0
        assert len(list(event_loop.pipelines)) == len(QUEUES)


@pytest.mark.deep
def test_only_exclusive_jobs_of_the_node_that_is_unavailable_are_stopped(cluster, tmp_path, namespace):
    there, away = _two_nodes(cluster, namespace)
    with Client(cluster.url, namespace=namespace) as client:
        # Of the lease, four fifths are longer than a busy machine pauses.
        leases = {"WORKER_LEASE": "9s", "WORKER_POLL_INTERVAL": "500ms", "WORKER_KILL_GRACE": "10s"}
        worker = Worker(client, tmp_path, WORKER_QUEUES=f"{away},{there}", **leases)
        over = tmp_path / "over"
        job = {"until": str(over)}
        try:
            ids = {queue: client.enqueue("alone", job, queue=queue, timeout="5m") for queue in (away, there)}
            wait_until_started(*ids.values())
            with _partly_available(cluster, client.server.keys.for_queue(away).prefix):
                wait_until(lambda: _stopped(worker), 60, "a job to be stopped")
            over.touch()
            assert all(client.wait(job_id, 120).status == "completed" for job_id in ids.values())
            (stopped,) = _stopped(worker)
            assert ids[away] in stopped
        finally:
            worker.destroy()


def _stopped(worker):
    return [line for line in worker.log.splitlines() if "job stopped: the lease may be lost" in line]


@contextmanager
def _partial_coverage(cluster):
    """Have nodes serve their keys while there is nobody for those of another one. All of them run in the end."""
    for each in cluster.nodes:
        each.client.config_set("cluster-require-full-coverage", "no")
    try:
        yield
    finally:
        for each in cluster.nodes:
            each.client.config_set("cluster-require-full-coverage", "yes")


@contextmanager
def _partly_available(cluster, key):
    """Have no node serve a key, while the others go on to serve theirs."""
    with _partial_coverage(cluster):
        node = cluster.primary_of(key)
        replicas = cluster.replicas_of(node)
        for each in (*replicas, node):
            each.server.kill()
        try:
            yield
        finally:
            for each in (node, *replicas):
                each.server.start()
            cluster.settle()


@pytest.mark.parametrize("within", [20, pytest.param(1.5, marks=[pytest.mark.deep, pytest.mark.quiet])])
def test_a_worker_continues_with_the_queues_of_living_nodes(cluster, tmp_path, namespace, within):
    """A fetch that a dead node owes keeps no place of a child from the others."""
    there, away = _two_nodes(cluster, namespace)
    with Client(cluster.url, namespace=namespace) as client:
        ids = [client.enqueue("echo", {}, queue=queue) for queue in (away, there)]
        worker = Worker(client, tmp_path, WORKER_QUEUES=f"{away},{there}", WORKER_CONCURRENCY="1")
        try:
            assert {client.wait(job_id, 60).status for job_id in ids} == {"completed"}
            # Otherwise no node serves anything until a replica has taken over, which takes long on a busy machine.
            with _partial_coverage(cluster):
                node, _ = cluster.kill_primary(client.server.keys.for_queue(away).prefix)
                try:
                    with Pulse() as pulse:
                        took = []
                        for _ in range(5):
                            began, job_id = time.monotonic(), client.enqueue("echo", {}, queue=there)
                            wait_until(lambda job_id=job_id: client.inspector.state(there, job_id) == "completed", 60)
                            took.append(time.monotonic() - began)
                    # One may come just when others have the processors.
                    assert pulse.allows(sorted(took)[-2], within), f"jobs took {took} s; {pulse}"
                finally:
                    cluster.bring_back(node)
            job_id = client.enqueue("echo", {}, queue=away)
            assert client.wait(job_id, 60).status == "completed"
        finally:
            worker.destroy()


def _two_nodes(cluster, namespace):
    """Return the names of two queues on different nodes."""
    nodes = {cluster.primary_of(f"{namespace}:{{{name}}}:").port: name for name in QUEUES}
    first, second, *_ = nodes.values()
    return first, second
