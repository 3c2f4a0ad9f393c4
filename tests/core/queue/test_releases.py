"""The protocol that processes of different releases agree on: who may start, and what is noted."""

import pytest

from gopher.client import Client
from gopher.errors import ConfigurationError
from gopher.queue import releases
from gopher.queue.preflight import check_server
from gopher.queue.releases import OLDEST_PROTOCOL, PROTOCOL


@pytest.fixture
def client(redis_url, namespace):
    with Client(redis_url, namespace=namespace) as client:
        yield client


def numbers(client):
    """Return the newest protocol that was used, and the oldest that may be."""
    found = client.server.client.hmget(client.server.keys.meta, "protocol", "schema")
    return tuple(number and int(number) for number in found)


def note(client, **fields):
    client.server.client.hset(client.server.keys.meta, mapping=fields)


def test_the_first_process_notes_its_protocol(client):
    check_server(client.server)
    check_server(client.server)
    assert numbers(client) == (PROTOCOL, OLDEST_PROTOCOL)


def test_data_of_the_release_before_is_upgraded(client, caplog, monkeypatch):
    # Whatever other tests of this process have configured.
    monkeypatch.setattr("structlog.is_configured", lambda: False)
    caplog.set_level("INFO")
    # It has only this number.
    note(client, schema=1)
    check_server(client.server)
    assert numbers(client) == (PROTOCOL, 1)
    assert "the protocol of the data was raised" in caplog.text


def test_a_newer_protocol_that_works_beside_this_one_is_left_alone(client):
    note(client, protocol=PROTOCOL + 1, schema=PROTOCOL)
    check_server(client.server)
    assert numbers(client) == (PROTOCOL + 1, PROTOCOL)


def test_a_process_does_not_start_where_a_newer_one_does_not_work_beside_it(client):
    note(client, protocol=PROTOCOL + 2, schema=PROTOCOL + 1)
    with pytest.raises(ConfigurationError, match=rf"protocol {PROTOCOL + 2}.* from {PROTOCOL + 1} on.*update Gopher"):
        check_server(client.server)
    assert numbers(client) == (PROTOCOL + 2, PROTOCOL + 1)


def test_a_later_release_raises_both(client, monkeypatch):
    check_server(client.server)
    monkeypatch.setattr(releases, "PROTOCOL", PROTOCOL + 1)
    monkeypatch.setattr(releases, "OLDEST_PROTOCOL", PROTOCOL)
    check_server(client.server)
    assert numbers(client) == (PROTOCOL + 1, PROTOCOL)


def test_the_numbers_are_noted_again_on_an_emptied_server(client):
    check_server(client.server)
    client.enqueue("t", {})
    client.server.client.delete(client.server.keys.meta)
    assert client.server.look_for_mark()
    assert numbers(client) == (PROTOCOL, OLDEST_PROTOCOL)
