"""Errors are looked into for their causes, also while the one before is being handled: that must come to an end."""

import socket
import threading

import pytest

from gopher.base.causes import causes
from gopher.config.settings import Settings
from gopher.errors import ServerError
from gopher.queue.store import Server
from tests.helpers import wait_until


@pytest.fixture
def closing():
    """A server that ends each connection at the first command."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


WAYS = {
    "a queue is registered": ("redis", lambda server: server.register_queues("mail")),
    "redis-py reads": ("redis", lambda server: server.look_for_mark()),
    "a cluster is searched": ("redis+cluster", lambda server: server.client),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_call_ends_that_fails_while_another_error_is_handled(closing, way):
    """The API reads its keys while it answers an error, since only some may know the cause."""
    scheme, fail = WAYS[way]
    found = []

    def handle():
        with Server(Settings(redis_url=f"{scheme}://{closing}")) as server:
            try:
                fail(server)
            except ServerError:
                try:
                    server.run(server.queue("mail").promote(), patience=0.0)
                except ServerError as error:
                    found.append(error)

    # One that never ends must not keep the tests from ending.
    threading.Thread(target=handle, daemon=True).start()
    wait_until(lambda: found, 20, "the second call to end")


def test_each_cause_is_found_once_however_they_are_linked():
    first, second, third = (ValueError(number) for number in range(3))
    first.__cause__, second.__context__, third.__cause__ = second, third, first
    assert list(causes(first)) == [first, second, third]
    first.__cause__ = first
    assert list(causes(first)) == [first]
    assert list(causes(None)) == []
