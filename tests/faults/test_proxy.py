"""The fault proxy does what it is told, to the byte."""

import socket
import time

import pytest

from tests.faults.proxy import Proxy
from tests.faults.resp import Splitter, end_of_value, words

PING = b"*1\r\n$4\r\nPING\r\n"
ECHO = b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n"


@pytest.fixture(scope="module")
def proxy(server, tmp_path_factory):
    with Proxy(tmp_path_factory.mktemp("proxy"), server.socket_path) as running:
        yield running


@pytest.fixture
def connect(proxy):
    """Make connections through the proxy, which passes everything again afterwards."""
    made: list[socket.socket] = []

    def connection() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=60))
        return made[-1]

    yield connection
    proxy.mode("pass")
    for each in made:
        each.close()


def ask(connection, *commands, size=1000):
    connection.sendall(b"".join(commands))
    return connection.recv(size)


def read_all(connection):
    """Return what comes, and how the connection ended."""
    data = b""
    try:
        while more := connection.recv(1000):
            data += more
    except ConnectionResetError:
        return data, "rst"
    return data, "fin"


@pytest.mark.parametrize(
    "value", [b"+OK\r\n", b":12\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"*0\r\n", b"*2\r\n*1\r\n:1\r\n$2\r\n\r\n\r\n"]
)
def test_knows_where_a_value_ends_wherever_the_stream_is_cut(value):
    for cut in range(len(value)):
        assert end_of_value(value[:cut], 0) is None
        splitter = Splitter()
        assert splitter.feed(value + value[:cut]) == [value]
        assert splitter.feed(value[cut:]) == [value]


def test_reads_the_words_of_a_command():
    assert words(ECHO) == [b"ECHO", b"hello"]


def test_passes_on(connect):
    assert ask(connect(), PING) == b"+PONG\r\n"


@pytest.mark.parametrize("how", ["rst", "fin"])
@pytest.mark.parametrize("size", [0, 1, 6, 7])
def test_cuts_a_reply_after_a_given_number_of_bytes(proxy, connect, size, how):
    connection = connect()
    proxy.shoot("cut_reply", size=size, how=how)
    connection.sendall(PING)
    assert read_all(connection) == (b"+PONG\r\n"[:size], how)
    assert ask(connect(), PING) == b"+PONG\r\n"


def test_hits_the_nth_command_that_matches(proxy, connect):
    connection = connect()
    proxy.shoot("inject", match="ECHO", nth=2, text="OOM no")
    assert ask(connection, ECHO) == b"$5\r\nhello\r\n"
    assert ask(connection, PING) == b"+PONG\r\n"
    assert ask(connection, ECHO) == b"-OOM no\r\n"
    assert ask(connection, ECHO) == b"$5\r\nhello\r\n"


def test_answers_itself_in_the_order_of_the_commands(proxy, connect):
    connection = connect()
    proxy.shoot("inject", match="ECHO", text="BUSY")
    connection.sendall(PING + ECHO + PING)
    data = b""
    while len(data) < 21:
        data += connection.recv(100)
    assert data == b"+PONG\r\n-BUSY\r\n+PONG\r\n"


def test_a_command_that_is_cut_is_not_carried_out(proxy, connect, server, namespace):
    key = namespace.encode()
    command = b"*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(key), key)
    proxy.shoot("cut_request", match="INCR", size=len(command) - 1)
    connection = connect()
    connection.sendall(command)
    assert read_all(connection) == (b"", "rst")
    assert ask(connect(), command) == b":1\r\n"


def test_takes_everything_and_answers_nothing_as_a_black_hole(proxy, connect):
    connection = connect()
    proxy.mode("blackhole")
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        ask(connection, PING)


def test_a_connection_that_has_lost_something_in_a_black_hole_never_answers_again(proxy, connect):
    """Its replies would be taken for those of what was lost: a stream has no holes."""
    connection = connect()
    proxy.mode("blackhole")
    connection.settimeout(0.3)
    with pytest.raises(TimeoutError):
        ask(connection, PING)
    proxy.mode("pass")
    with pytest.raises(TimeoutError):
        ask(connection, PING)
    assert ask(connect(), PING) == b"+PONG\r\n"


def test_refuses_connections_and_takes_them_again_on_the_same_port(proxy, connect):
    port = proxy.port
    proxy.mode("refuse")
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.mode("pass")
    assert proxy.port == port
    assert ask(connect(), PING) == b"+PONG\r\n"


def test_delays_replies_without_thinning_them_out(proxy, connect):
    connection = connect()
    proxy.mode("delay", seconds=0.2)
    began = time.monotonic()
    ask(connection, PING * 50, size=350)
    # One after the other they would take ten seconds.
    assert 0.2 <= time.monotonic() - began < 5


def test_drops_the_share_of_replies_that_it_is_told(proxy, connect):
    before = proxy.done("drop")
    proxy.mode("drop", probability=0.3)
    for _ in range(100):
        connection = connect()
        connection.sendall(PING)
        read = connection.recv(100) if not _lost(connection) else b""
        assert read in (b"", b"+PONG\r\n")
    assert 15 <= proxy.done("drop") - before <= 45


def _lost(connection):
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except ConnectionResetError:
        return True
