"""JSON answers as they go to the server: what their headers say, and what hardens them."""

from collections import Counter

import pytest
from gopher.app import answers
from gopher.app.answers import answer
from gopher.app.application import Application

HARDENING = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def changed():
    made = answer({"a": 1})
    made.set_data("<p>größer</p>")
    made.mimetype = "text/html"
    return made


VIEWS = {
    "/json": lambda: answer({"größe": 1}, 201, {"Location": "/there"}),
    "/kept": lambda: answer({}, headers={"cache-control": "public"}),
    "/changed": changed,
    "/text": lambda: "text",
}


@pytest.fixture
def client():
    app = Application("ours", static_folder=None)
    answers.install(app)
    for path, view in VIEWS.items():
        app.add_url_rule(path, path, view)
    return app.test_client()


@pytest.mark.parametrize("path", VIEWS)
def test_every_answer_has_security_headers_once_and_a_content_length(client, path):
    got = client.get(path)
    assert int(got.headers["Content-Length"]) == len(got.data) > 0
    assert max(Counter(name.lower() for name, _ in got.headers).values()) == 1
    expected = {**HARDENING, "Cache-Control": "public"} if path == "/kept" else HARDENING
    assert {name: got.headers[name] for name in HARDENING} == expected


def test_a_place_is_told_as_the_view_wrote_it(client):
    got = client.get("/json")
    assert (got.status, got.headers["Location"], got.mimetype) == ("201 CREATED", "/there", "application/json")


def test_head_is_answered_with_the_same_headers_and_no_body(client):
    got, whole = client.head("/json"), client.get("/json")
    assert got.data == b""
    assert got.headers == whole.headers


def test_what_was_made_of_an_answer_is_sent(client):
    got = client.get("/changed")
    assert (got.text, got.content_type) == ("<p>größer</p>", "text/html; charset=utf-8")
