"""A client is a guest in a program: that program's variables neither change nor break it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gopher import AsyncClient, Client, HttpClient
from gopher.config.environment import names_of
from gopher.config.settings import Settings
from gopher.errors import ConfigurationError

#: What host programs have in their environments, under names that are ours, too.
HOST = {
    "LOG_LEVEL": "verbose", "LOG_FORMAT": "%(message)s", "PORT": "tcp://10.0.0.1:80", "WEB_CONCURRENCY": "auto",
    "WORKER_CONCURRENCY": "many", "WORKER_QUEUES": "a b", "WORKER_MAX_RETRIES": "lots", "WORKER_LEASE": "1s",
    "SERVER_HOST": "https://shop.example", "SMTP_URL": "submission://mail", "REDIS_TIMEOUT": "fast",
    "REDIS_TLS_VERIFY": "false", "REDIS_DB": "7", "REDIS_PASSWORD": "theirs", "REDIS_USERNAME": "them",
    "REDIS_PASSWORD_FILE": "/nowhere",
}  # fmt: skip


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, text in HOST.items():
        monkeypatch.setenv(name, text)
    return monkeypatch


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_variables_of_the_host_program_do_not_matter_to_a_client_with_an_address(
    host: pytest.MonkeyPatch, kind: type[Client | AsyncClient]
) -> None:
    host.setenv("REDIS_URL", "memory://")
    address = kind("redis://127.0.0.1:7001/3").settings.server_address
    assert (address.db, address.username, address.password) == (3, None, None)
    host.setenv("GOPHER_REDIS_URL", "redis://:ours@127.0.0.1:7002/4")
    address = kind().settings.server_address
    assert (address.hosts, address.db, address.username, address.password) == ((("127.0.0.1", 7002),), 4, None, "ours")
    host.setenv("GOPHER_REDIS_DB", "5")
    assert kind().settings.server_address.db == 5
    # An argument counts before all of it.
    assert kind("redis://127.0.0.1:7001/3").settings.server_address.db == 3
    assert kind(settings=Settings(redis_db=2, redis_password="x"), url="redis://h/3").settings.server_address.db == 3


def test_a_valid_variable_that_a_client_shows_is_still_read(host: pytest.MonkeyPatch) -> None:
    host.setenv("WORKER_MAX_RETRIES", "7")
    assert Client("redis://h").settings.worker_max_retries == 7
    host.setenv("WORKER_MAX_RETRIES", "lots")
    assert Client("redis://h").settings.worker_max_retries == 3


def test_what_a_client_uses_has_to_be_valid_and_the_error_names_the_variable_that_was_read(
    host: pytest.MonkeyPatch,
) -> None:
    host.setenv("REDIS_URL", "memory://")
    with pytest.raises(ConfigurationError, match=r"  REDIS_URL='memory://'"):
        Client()
    host.setenv("GOPHER_REDIS_URL", "memory://")
    with pytest.raises(ConfigurationError, match=r"  GOPHER_REDIS_URL='memory://'"):
        Client()
    host.setenv("GOPHER_RESULT_TTL", "soon")
    with pytest.raises(ConfigurationError, match="GOPHER_RESULT_TTL='soon'"):
        Client("redis://h")
    with pytest.raises(ConfigurationError, match="the server URL 'memory://' is invalid"):
        Client("memory://", settings=Settings())


def test_what_a_url_says_counts_before_variables_that_say_something_else(
    host: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").touch()
    host.setenv("GOPHER_REDIS_TLS_VERIFY", str(tmp_path / "ca.pem"))
    tls = Settings.for_client("rediss://h").server_address.option("ssl_ca_certs")
    assert tls == str(tmp_path / "ca.pem")
    address = Settings.for_client("rediss://h?ssl_cert_reqs=none").server_address
    assert (address.option("ssl_cert_reqs"), address.option("ssl_ca_certs")) == ("none", "")


def test_a_client_of_the_api_reads_only_where_that_is(host: pytest.MonkeyPatch) -> None:
    host.setenv("REDIS_URL", "memory://")
    host.setenv("GOPHER_RESULT_TTL", "soon")
    host.setenv("GOPHER_URL", "http://127.0.0.1:1")
    HttpClient().close()


@pytest.mark.parametrize("name", [each.name for each in Settings.variables() if len(names_of(each.name)) > 1])
def test_each_setting_has_a_variable_with_prefix_that_counts_first(name: str) -> None:
    variable = next(each for each in Settings.variables() if each.name == name)
    prefixed, bare = names_of(name)
    assert (prefixed, bare) == (f"GOPHER_{name}", name)
    assert prefixed not in {each.name for each in Settings.variables()}
    # A number can be invalid for each kind but texts; then it is the bare one that is not read.
    invalid = "a/b \ud800"
    valid = variable.default or "0"
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({prefixed: invalid, bare: valid})
    assert prefixed in str(caught.value)
    try:
        Settings.from_env({prefixed: valid, bare: invalid})
    except ConfigurationError as error:
        # One that does not go without another one, or with the default address.
        assert "\\ud800" not in str(error)  # noqa: PT017 - it may as well be valid


def test_messages_about_several_settings_name_those_that_were_read() -> None:
    with pytest.raises(ConfigurationError, match=r"GOPHER_WORKER_LEASE \(1s\) must be .* times WORKER_POLL_INTERVAL"):
        Settings.from_env({"GOPHER_WORKER_LEASE": "1s", "WORKER_LEASE": "1h"})


def test_the_port_of_a_platform_counts_unless_ours_is_set() -> None:
    assert Settings.from_env({"PORT": "81", "SERVER_PORT": "82"}).server_port == 81
    assert Settings.from_env({"PORT": "81", "GOPHER_SERVER_PORT": "82"}).server_port == 82
    assert Settings.from_env({"PORT": "abc", "GOPHER_PORT": "83"}).server_port == 83
    with pytest.raises(ConfigurationError, match="GOPHER_PORT='abc'"):
        Settings.from_env({"PORT": "81", "GOPHER_PORT": "abc"})


def test_logging_of_the_host_program_is_left_alone(redis_url: str, namespace: str) -> None:
    """What a client has to say, here of an emptied server, goes to the logger `gopher` of the standard library."""
    program = (
        "import logging, sys; logging.basicConfig(format='HOST %(name)s %(message)s', stream=sys.stderr)\n"
        "before = list(logging.root.handlers), logging.root.level\n"
        "from gopher import Client\n"
        f"client = Client({redis_url!r}, namespace={namespace!r})\n"
        "client.enqueue('email', {})\n"
        f"client.server.client.delete('{namespace}:meta')\n"
        "client.server.look_for_mark()\n"
        "assert (list(logging.root.handlers), logging.root.level) == before\n"
    )
    environ = {**os.environ, **HOST, "GOPHER_NAMESPACE": namespace}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "HOST gopher.server the server was emptied or replaced" in done.stderr
