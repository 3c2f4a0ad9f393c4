"""TLS to a server: whose certificates are accepted, and what is said where something is wrong."""

import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gopher.client import Client
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError, QueueUnavailable
from gopher.queue.store import Server
from gopher.server.calls import Command
from gopher.server.event_loop import EventLoop
from tests.certificates import HERE, Authority, Certificate
from tests.helpers import wait_until
from tests.tls_endpoint import TlsEndpoint

Connect = Callable[..., Server]


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificates(authority) -> dict[str, Certificate]:
    return {
        "good": authority.sign("good", *HERE),
        "of another host": authority.sign("other", "DNS:other.test"),
        "expired": authority.sign("expired", *HERE, days=-1),
        "client": authority.sign("client"),
    }


@pytest.fixture
def endpoint(server, certificates) -> Iterator[TlsEndpoint]:
    with TlsEndpoint(server.socket_path, certificates["good"]) as endpoint:
        yield endpoint


@pytest.fixture
def strict_endpoint(server, authority, certificates) -> Iterator[TlsEndpoint]:
    """One that wants a certificate of its clients."""
    with TlsEndpoint(server.socket_path, certificates["good"], clients=authority.path) as endpoint:
        yield endpoint


@pytest.fixture
def connect(namespace) -> Iterator[Connect]:
    made = []

    def connect(
        endpoint: TlsEndpoint | int, scheme: str = "rediss", host: str = "localhost", **variables: object
    ) -> Server:
        port = endpoint if isinstance(endpoint, int) else endpoint.port
        given = {name: str(value) for name, value in variables.items()}
        settings = Settings.from_env({"REDIS_URL": f"{scheme}://{host}:{port}", "GOPHER_NAMESPACE": namespace, **given})
        made.append(Server(settings, connections=2))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def write(server: Server, patience: float = 10.0) -> object:
    """Run a script, as each submission does. A busy machine may need more than one attempt to connect."""
    return server.run(server.queue("default").heartbeat("w", 60.0, first=True), patience=patience)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_of_an_own_authority_is_accepted(host, connect, endpoint, authority):
    server = connect(endpoint, host=host, REDIS_TLS_VERIFY=authority.path)
    assert write(server)
    assert server.client.ping()
    # An address is no name, which SNI needs.
    assert set(endpoint.names) == {host if host == "localhost" else None}


def test_authorities_of_ssl_cert_file_are_trusted(connect, endpoint, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    assert write(connect(endpoint))


WRONG = {
    "good": (
        {},
        "the server's certificate is not trusted (unable to get local issuer certificate): set REDIS_TLS_VERIFY",
    ),
    "of another host": (
        {"REDIS_TLS_VERIFY": "CA"},
        "is for another name (Hostname mismatch, certificate is not valid for",
    ),
    "expired": ({"REDIS_TLS_VERIFY": "CA"}, "the server's certificate is not valid (certificate has expired)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_certificate_that_is_not_accepted_is_explained(name, connect, endpoint, authority, certificates):
    variables, message = WRONG[name]
    endpoint.present(certificates[name])
    server = connect(endpoint, **dict.fromkeys(variables, authority.path))
    for attempt in (lambda: write(server, 0.0), server.queues):
        with pytest.raises(QueueUnavailable) as caught:
            attempt()
        assert message in str(caught.value)


@pytest.mark.parametrize("name", ["good", "of another host", "expired"])
def test_no_certificate_is_verified_if_that_is_off(name, connect, endpoint, certificates):
    endpoint.present(certificates[name])
    assert write(connect(endpoint, REDIS_TLS_VERIFY="none"))


def test_another_name_may_be_expected_and_is_sent_to_the_server(connect, endpoint, authority, certificates):
    endpoint.present(certificates["of another host"])
    assert write(connect(endpoint, REDIS_TLS_VERIFY=authority.path, REDIS_TLS_SERVER_NAME="other.test"))
    assert endpoint.names == ["other.test"]


def test_the_name_is_not_checked_if_that_is_off_while_the_authority_is(connect, endpoint, authority, certificates):
    endpoint.present(certificates["of another host"])
    assert write(connect(endpoint, REDIS_TLS_VERIFY=authority.path, REDIS_TLS_CHECK_HOSTNAME="0"))
    with pytest.raises(QueueUnavailable, match="is not trusted"):
        write(connect(endpoint, REDIS_TLS_CHECK_HOSTNAME="0"), 0.0)


def client_certificate(certificate: Certificate) -> dict[str, object]:
    return {"REDIS_TLS_CERT": certificate.path, "REDIS_TLS_KEY": certificate.key}


def test_a_client_certificate_is_presented(connect, strict_endpoint, authority, certificates, tmp_path):
    trusted = {"REDIS_TLS_VERIFY": authority.path}
    assert write(connect(strict_endpoint, **trusted, **client_certificate(certificates["client"])))
    both = tmp_path / "both.pem"
    both.write_bytes(certificates["client"].path.read_bytes() + certificates["client"].key.read_bytes())
    assert write(connect(strict_endpoint, **trusted, REDIS_TLS_CERT=both))
    with pytest.raises(QueueUnavailable, match="requires? a client certificate,? (.*)REDIS_TLS_CERT"):
        write(connect(strict_endpoint, **trusted), 0.0)


def test_an_encrypted_key_needs_its_password(connect, strict_endpoint, authority, certificates, tmp_path):
    key = tmp_path / "encrypted.key"
    words = ["openssl", "ec", "-in", certificates["client"].key, "-aes256", "-passout", "pass:geheim", "-out", key]
    subprocess.run(words, check=True, capture_output=True)
    given = {"REDIS_TLS_VERIFY": authority.path, "REDIS_TLS_CERT": certificates["client"].path, "REDIS_TLS_KEY": key}
    assert write(connect(strict_endpoint, **given, REDIS_TLS_KEY_PASSWORD="geheim"))
    for wrong in ({}, {"REDIS_TLS_KEY_PASSWORD": "other"}):
        with pytest.raises(
            ConfigurationError, match="REDIS_TLS_CERT=.*if that is encrypted, set REDIS_TLS_KEY_PASSWORD"
        ):
            connect(strict_endpoint, **given, **wrong)


def test_files_that_have_no_certificates_are_reported(connect, endpoint, certificates, tmp_path):
    other = tmp_path / "text.pem"
    other.write_text("text")
    with pytest.raises(ConfigurationError, match="REDIS_TLS_VERIFY=.*text.pem': expected certificates in PEM format"):
        connect(endpoint, REDIS_TLS_VERIFY=other)
    with pytest.raises(ConfigurationError, match="REDIS_TLS_CERT=.*expected its key in .*of another certificate"):
        connect(endpoint, REDIS_TLS_CERT=certificates["client"].path, REDIS_TLS_KEY=certificates["good"].key)


def test_renewed_certificates_are_used_without_a_restart(connect, strict_endpoint, authority, certificates, tmp_path):
    renewed = tmp_path / "client.pem"
    shutil.copy(certificates["expired"].path, renewed)
    shutil.copy(certificates["expired"].key, tmp_path / "client.key")
    given = {"REDIS_TLS_CERT": renewed, "REDIS_TLS_KEY": tmp_path / "client.key"}
    server = connect(strict_endpoint, REDIS_TLS_VERIFY=authority.path, **given)
    with pytest.raises(QueueUnavailable):
        write(server, 0.0)
    # One after the other, as they are written: meanwhile the key is that of another certificate.
    shutil.copy(certificates["client"].path, renewed)
    with pytest.raises(QueueUnavailable):
        write(server, 0.0)
    shutil.copy(certificates["client"].key, tmp_path / "client.key")
    assert write(server)


def test_a_server_without_tls_and_one_with_it_are_told_apart(connect, endpoint, server):
    with TlsEndpoint(server.socket_path, None) as plain:
        encrypted = connect(plain, REDIS_TLS_VERIFY="none", REDIS_TIMEOUT="1s")
        with pytest.raises(QueueUnavailable, match="the server does not use TLS: use redis:// in place of rediss://"):
            write(encrypted, 0.0)
    plainly = connect(endpoint, "redis")
    for attempt in (plainly.queues, lambda: write(plainly, 0.0)):
        with pytest.raises(QueueUnavailable, match="the server expects TLS: use rediss:// in place of redis://"):
            attempt()


def test_nothing_is_left_to_read_on_a_new_connection(connect, endpoint):
    """Session tickets, which arrive some time after the handshake, used to be taken for a reply."""
    server = connect(endpoint, REDIS_TLS_VERIFY="none")
    for _ in range(30):
        connection = server.pools.connection("key", socket_timeout=2.0)
        connection.connect()
        assert not connection.can_read(0)
        connection.disconnect()


def test_an_event_loop_gets_long_replies_over_tls(connect, endpoint):
    server = connect(endpoint, REDIS_TLS_VERIFY="none")
    key, value, replies = "{tls}key", b"x" * 1_000_000, []
    selector = selectors.DefaultSelector()
    pipeline = EventLoop(server, selector).pipeline_to(key)
    pipeline.add(Command(key, ("SET", key, value)), replies.append)
    pipeline.add(Command(key, ("GET", key)), replies.append)
    pipeline.add(Command(key, ("DEL", key)), replies.append)

    def turn() -> bool:
        pipeline.flush(time.monotonic(), 1.0)
        for event, mask in selector.select(0.01):
            event.data(mask)
        return len(replies) == 3

    wait_until(turn, 60, "three replies")
    assert replies == [b"OK", value, 1]
    pipeline.connection.close()


def test_many_threads_share_connections_over_tls(connect, endpoint):
    server = connect(endpoint, REDIS_TLS_VERIFY="none")
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: write(server), range(100)))


START = """
from gopher.client import Client
from gopher.server import connections
connections.CONNECT_TIMEOUT = 60.0
with Client() as client:
    client.stats()
"""


@pytest.mark.deep
def test_fifty_fresh_processes_connect_without_a_password(endpoint, namespace):
    environ = {
        "REDIS_URL": f"rediss://localhost:{endpoint.port}",
        "REDIS_TLS_VERIFY": "none",
        # The endpoint, a thread of ours, may get no processor for a while.
        "REDIS_TIMEOUT": "60s",
        "GOPHER_NAMESPACE": namespace,
    }
    command = [sys.executable, "-c", START]

    def start(_: int) -> str:
        return subprocess.run(
            command, check=False, env={**os.environ, **environ}, capture_output=True, text=True
        ).stderr

    with ThreadPoolExecutor(2) as threads:
        assert "".join(threads.map(start, range(50))) == ""


def test_a_client_submits_and_reads_a_job_over_tls(endpoint, namespace, authority):
    with Client(f"rediss://localhost:{endpoint.port}?ssl_ca_certs={authority.path}", namespace=namespace) as client:
        assert client.job(client.enqueue("any", {})).status == "pending"
