"""Connections that are kept at hand between calls."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from redis import exceptions

from gopher import Client
from gopher.config.settings import Settings
from gopher.queue.store import Server
from gopher.server import idle_connections
from gopher.server.connections import Pools
from gopher.server.embedded import EmbeddedServer
from gopher.server.idle_connections import FIRST_ATTEMPT
from tests.helpers import free_port, wait_until


@pytest.fixture
def pools(redis_url):
    pools = Pools(Settings(redis_url=redis_url), 4)
    yield pools
    pools.close()


def test_the_next_call_takes_the_connection_of_the_last(pools):
    idle = pools.idle("any")
    first = idle.take()
    idle.put(first)
    assert pools.idle("any").take() is first


def test_no_idle_connection_is_kept_from_others(pools):
    idle = pools.idle("any")
    taken = [idle.take() for _ in range(4)]
    for connection in taken:
        idle.put(connection)
    assert len(idle._idle) == 3
    others = [pools.pool_for("any").get_connection() for _ in range(4)]
    assert {id(each) for each in others} == {id(each) for each in taken}
    for other in others:
        other.send_command("PING")
        assert other.read_response() == b"PONG"
        pools.pool_for("any").release(other)
    assert pools.client.ping()


def test_connections_of_a_pool_have_pythons_timeout(pools):
    idle = pools.idle("any")
    for connection in [idle.take() for _ in range(4)]:
        idle.put(connection)
    for other in [pools.pool_for("any").get_connection() for _ in range(4)]:
        assert other._sock.gettimeout() == other.socket_timeout == Settings().redis_timeout


def test_a_caller_of_the_pool_gets_a_connection_that_becomes_idle(pools):
    idle = pools.idle("any")
    taken = [idle.take() for _ in range(4)]
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(pools.pool_for("any").get_connection)
        idle.put(taken[0])
        assert waiting.result(60.0) is taken[0]


def test_a_connection_that_the_server_has_closed_is_noticed_before_anything_is_sent(pools):
    idle = pools.idle("any")
    connection = idle.take()
    connection.send_command("CLIENT", "ID")
    number = connection.read_response()
    idle.put(connection)
    pools.client.client_kill_filter(_id=str(number))
    again = idle.take()
    again.send_command("CLIENT", "ID")
    assert again.read_response() != number


def test_a_client_that_was_closed_connects_again(redis_url, namespace):
    settings = replace(Settings.for_client(redis_url, namespace=namespace), redis_timeout=30.0)
    with Client(settings=settings, connections=2) as client:
        for _ in range(3):
            client.enqueue("email", {})
            assert client.stats().queue_size > 0
            client.close()
        assert not [each for each in client.server.pools._pool._connections if each.is_connected]


def test_a_connection_that_another_thread_disconnects_while_it_is_taken_goes_back_to_the_pool(pools, monkeypatch):
    idle = pools.idle("any")

    def disconnected(*_given):
        raise AttributeError

    with monkeypatch.context() as patch:
        patch.setattr(idle_connections, "_let_the_kernel_wait", disconnected)
        for _ in range(2 * 4):
            with pytest.raises(exceptions.ConnectionError):
                idle.take()
    assert pools.client.ping()


def test_an_idle_connection_that_another_thread_disconnects_is_not_taken(pools):
    idle = pools.idle("any")
    taken = [idle.take() for _ in range(4)]
    for connection in taken:
        idle.put(connection)
    for connection in taken:
        connection.disconnect()
    again = [idle.take() for _ in range(4)]
    assert all(connection.is_connected for connection in again)


def test_a_forked_process_closes_a_client_without_touching_its_parents_connections(redis_url, namespace):
    settings = replace(Settings.for_client(redis_url, namespace=namespace), redis_timeout=30.0)
    with Client(settings=settings, connections=2) as client:
        client.enqueue("email", {})
        assert client.server.pools.idle("any")._idle
        pid = os.fork()
        if pid == 0:
            try:
                client.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        connection = client.server.pools.idle("any")._idle[0]
        # With the timeout of the settings.
        idle_connections._let_python_wait(connection)
        connection.send_command("PING")
        assert connection.read_response() == b"PONG"


def test_a_disconnected_connection_goes_back_to_the_pool(pools):
    idle = pools.idle("any")
    connection = idle.take()
    connection.disconnect()
    idle.put(connection)
    assert not idle._idle
    assert pools.pool_for("any").get_connection() is connection


def test_a_connection_in_the_pool_has_pythons_timeout_also_when_it_was_idle(pools):
    idle = pools.idle("any")
    taken = [idle.take() for _ in range(4)]
    assert {connection._sock.gettimeout() for connection in taken} == {None}
    for connection in taken:
        idle.put(connection)
    for other in [pools.pool_for("any").get_connection() for _ in range(2)]:
        assert other in taken
        assert other._sock.gettimeout() == other.socket_timeout == Settings().redis_timeout


def test_a_socket_that_never_blocks_keeps_pythons_timeout(pools, monkeypatch):
    """gevent's, for one: it waits in its own loop, and the kernel knows of no wait."""
    monkeypatch.setattr("gopher.server.idle_connections.os.get_blocking", lambda descriptor: False)
    assert pools.idle("any").take()._sock.gettimeout() == FIRST_ATTEMPT


def test_all_connections_are_dropped_when_the_server_is_looked_up_again(pools):
    idle = pools.idle("any")
    connection = idle.take()
    idle.put(connection)
    pools.refresh()
    assert connection._sock is None


def test_connections_outside_the_pool_are_never_counted(pools):
    for _ in range(20):
        pools.connection("any").connect()
    assert pools.client.ping()


def test_a_connection_in_use_is_returned_after_the_server_was_looked_up_again(pools):
    for _ in range(20):
        taken = [pools.idle("any").take() for _ in range(4)]
        pools.refresh()
        for connection in taken:
            pools.idle("any").put(connection)
    assert pools.client.ping()


def test_a_forked_process_does_not_use_its_parents_connections(redis_url, namespace):
    with Server(Settings(redis_url=redis_url, namespace=namespace)) as server:
        call = server.queue("default").heartbeat("w", 60.0, first=True)
        server.run(call)
        (parents,) = server.pools.idle(call.key)._idle
        child = os.fork()
        if not child:
            good = False
            try:
                lent = server.pools.idle(call.key).lend()
                server.run(call)
                (own,) = server.pools.idle(call.key)._idle
                good = lent is None and own is not parents
            finally:
                os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not server.run(call).lost


def test_the_place_of_a_connection_that_an_interrupted_call_has_lost_is_free_again(pools):
    taken = [pools.idle("any").take() for _ in range(4)]
    del taken
    with ThreadPoolExecutor(3) as executor:
        assert all(executor.map(lambda _: pools.client.ping(), range(3)))
    assert [pools.idle("any").take().is_connected for _ in range(4)] == [True] * 4


class Interrupted(BaseException):
    """What arrives in the middle of a call, as from a signal's handler."""


def test_the_place_of_a_connection_whose_making_was_interrupted_is_free_again(pools):
    pool = pools.pool_for("any")
    make = pool.connection_class

    def interrupt(**_options: object) -> None:
        raise Interrupted

    pool.connection_class = interrupt
    for _ in range(4):
        with pytest.raises(Interrupted):
            pools.idle("any").take()
    pool.connection_class = make
    assert [pools.idle("any").take().is_connected for _ in range(4)] == [True] * 4


def test_places_of_connections_in_use_stay_taken(pools):
    taken = [pools.idle("any").take() for _ in range(4)]
    with pytest.raises(exceptions.ConnectionError, match="No connection available"):
        pools.pool_for("any").get_connection()
    assert len(taken) == 4


@pytest.fixture(scope="module")
def tcp_server(tmp_path_factory):
    port = free_port()
    with EmbeddedServer(tmp_path_factory.mktemp("tcp"), port=port):
        yield f"redis://127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", ["redis", "unix"])
@pytest.mark.parametrize("step", ["on_connect_check_health", "send_command"])
def test_a_connection_that_was_interrupted_before_it_is_in_its_database_is_closed(tcp_server, redis_url, scheme, step):
    url = {"redis": f"{tcp_server}/7", "unix": f"{redis_url}?db=7"}[scheme]
    pools = Pools(Settings(redis_url=url), 1)
    pool = pools.pool_for("any")
    made = pool.connection_class

    def interrupt(*_arguments: object, **_named: object) -> None:
        raise Interrupted

    pool.connection_class = type("Interrupting", (made,), {step: interrupt})
    with pytest.raises(Interrupted):
        pool.get_connection()
    (connection,) = pool.pool.queue
    assert not connection.is_connected
    connection.__class__ = made
    assert pools.client.execute_command("CLIENT INFO")["db"] == 7
    pools.close()


def test_connections_to_a_node_that_interrupted_calls_have_lost_are_closed(tcp_server):
    ((host, port),) = Settings(redis_url=tcp_server).server_address.hosts
    pool = idle_connections.CheckedPool(host=host, port=port, client_name="lost", protocol=2)
    for _ in range(3):
        pool.get_connection().send_command("PING")
    kept = pool.get_connection()

    def are_closed() -> bool:
        kept.send_command("CLIENT", "LIST")
        return kept.read_response().count(b"name=lost") == 1

    wait_until(are_closed)
    pool.release(kept)
    assert pool.get_connection() is kept
    pool.disconnect()
