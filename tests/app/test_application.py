"""Flask with less done for each request: the same routes and hosts."""

import pytest
from flask import Flask, Request
from gopher.app.application import Application
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

ENVIRONS = [
    {},
    {"HTTP_HOST": "Example.com:8080"},
    {"HTTP_HOST": "example.com:80"},
    {"HTTP_HOST": "[::1]:8080"},
    {"HTTP_HOST": "münchen.example".encode().decode("latin-1")},
    {"HTTP_HOST": "no host at all"},
    {"HTTP_HOST": ""},
    {"PATH_INFO": "/grüße".encode().decode("latin-1")},
    {"PATH_INFO": "/\xff"},
    {"PATH_INFO": ""},
    {"PATH_INFO": "//there/is"},
    {"SCRIPT_NAME": "/below"},
    {"SCRIPT_NAME": "/below/"},
    {"QUERY_STRING": "limit=5"},
    {"wsgi.url_scheme": "https", "HTTP_HOST": "example.com:443"},
    {"HTTP_CONNECTION": "upgrade", "HTTP_UPGRADE": "websocket"},
    {"REQUEST_METHOD": "delete"},
]


def read(app: Flask, changes: dict[str, str]) -> object:
    """Return all that the routes are told of a request, and the host that it names."""
    request = Request(EnvironBuilder("/there/is", "http://localhost").get_environ() | changes)
    try:
        adapter = app.create_url_adapter(request)
    except HTTPException as error:
        return type(error)
    told = {name: value for name, value in vars(adapter).items() if name not in ("map", "query_args")}
    return told | {"query_args": adapter.query_args or None, "host": request.host}


@pytest.mark.parametrize("changes", ENVIRONS, ids=str)
def test_a_request_is_read_as_flask_reads_it_also_for_a_host_that_is_known(changes):
    ours, flasks = Application("ours", static_folder=None), Flask("flasks", static_folder=None)
    assert read(ours, changes) == read(flasks, changes)
    assert read(ours, changes) == read(flasks, changes)


def test_names_invented_by_clients_are_not_kept_forever(monkeypatch):
    monkeypatch.setattr("gopher.app.application._HOSTS", 10)
    app = Application("ours", static_folder=None)
    for number in range(100):
        read(app, {"HTTP_HOST": f"host-{number}.example"})
    assert len(app._hosts) <= 10
