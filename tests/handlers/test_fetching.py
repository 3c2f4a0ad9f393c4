"""Fetching over real connections: redirects, limits, and which failures are final."""

import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from gopher.errors import Discard, Retry
from gopher.outbound import fetching
from gopher.outbound.fetching import FetchFailed, fetch
from gopher.outbound.guard import FetchRefused, Guard
from tests.handlers.conftest import Site, serve_site
from tests.helpers import make_certificate


def get(url: str, max_bytes: int = 10_000, seconds: float = 5.0) -> bytes:
    return fetch(url, max_bytes=max_bytes, seconds=seconds).content


def test_fetches_what_a_url_answers(allowed_site: Site) -> None:
    url = allowed_site.serve("/cat.jpg?size=1&name=t%20m", b"miaow")
    assert get(url) == b"miaow"
    assert allowed_site.requests == [("/cat.jpg?size=1&name=t%20m", allowed_site.place)]


def test_writes_what_a_url_may_not_hold_in_percent_form(allowed_site: Site) -> None:
    allowed_site.serve("/k%C3%A4tzchen", b"miau")
    assert get(allowed_site.url("/kätzchen")) == b"miau"


def test_refuses_a_site_on_loopback_without_leave(site: Site) -> None:
    site.serve("/", b"inside")
    with pytest.raises(FetchRefused, match="not allowed"):
        get(site.url("/"))
    assert site.requests == []


def test_follows_redirects(allowed_site: Site) -> None:
    allowed_site.serve("/end", b"here")
    allowed_site.serve("/middle", b"", 307, Location="end")
    url = allowed_site.serve("/start", b"", 301, Location=allowed_site.url("/middle"))
    download = fetch(url, max_bytes=100, seconds=5)
    assert download.content == b"here"
    assert download.url == allowed_site.url("/end")


@pytest.mark.parametrize(
    "inside",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "http://[64:ff9b::7f00:1]/",
    ],
)
def test_refuses_a_redirect_to_the_inside(allowed_site: Site, inside: str) -> None:
    url = allowed_site.serve("/", b"", 302, Location=inside)
    with pytest.raises(FetchRefused, match="not allowed"):
        get(url)


def test_gives_up_on_redirects_without_end(allowed_site: Site) -> None:
    url = allowed_site.serve("/round", b"", 302, Location="/round")
    with pytest.raises(FetchRefused, match="more than 5 redirects"):
        get(url)
    assert len(allowed_site.requests) == 6


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 304])
def test_takes_an_answer_without_a_file_as_final(allowed_site: Site, status: int) -> None:
    url = allowed_site.serve("/", b"", status)
    with pytest.raises(Discard, match=f"answered {status}"):
        get(url)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_takes_a_passing_trouble_as_passing(allowed_site: Site, status: int) -> None:
    url = allowed_site.serve("/", b"", status)
    with pytest.raises(FetchFailed, match=f"answered {status}"):
        get(url)


def test_comes_back_when_the_server_says(allowed_site: Site) -> None:
    url = allowed_site.serve("/", b"", 503, Retry_After="120")
    with pytest.raises(Retry) as caught:
        get(url)
    assert caught.value.after == 120.0


def test_comes_back_at_the_time_that_the_server_says(allowed_site: Site) -> None:
    url = allowed_site.serve("/", b"", 503, Retry_After=formatdate(time.time() + 1800, usegmt=True))
    with pytest.raises(Retry) as caught:
        get(url)
    assert caught.value.after is not None
    assert 1000 < caught.value.after <= 1800


def test_comes_back_within_an_hour(allowed_site: Site) -> None:
    url = allowed_site.serve("/", b"", 503, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT")
    with pytest.raises(Retry) as caught:
        get(url)
    assert caught.value.after == 3600.0


# A time that has passed must not replace the backoff.
@pytest.mark.parametrize(
    "when", ["Thu, 01 Jan 1970 00:00:00 GMT", "soon", "Tue, 99 Dec 2026 99:00:00 GMT", "99999999999", "-1"]
)
def test_ignores_a_time_to_come_back_that_is_none(allowed_site: Site, when: str) -> None:
    url = allowed_site.serve("/", b"", 503, Retry_After=when)
    with pytest.raises(FetchFailed, match="answered 503"):
        get(url)


def test_refuses_more_bytes_than_allowed_by_their_announcement(allowed_site: Site) -> None:
    url = allowed_site.serve("/", b"x" * 101)
    with pytest.raises(FetchRefused, match="101 bytes, more than the 100 allowed"):
        get(url, max_bytes=100)


def test_refuses_a_compressed_body(allowed_site: Site) -> None:
    url = allowed_site.serve("/", b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(FetchRefused, match="Content-Encoding"):
        get(url)


def test_fails_when_the_connection_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("GOPHER_FETCH_ALLOW", place)
        with pytest.raises(FetchFailed, match="refused"):
            get(f"http://{place}/")


def test_refuses_a_url_with_a_password_even_of_an_allowed_place(allowed_site: Site) -> None:
    allowed_site.serve("/", b"here")
    for user in ("user:password@", "user@", ":@"):
        with pytest.raises(FetchRefused, match="user name or password"):
            get(f"http://{user}{allowed_site.place}/")
    assert allowed_site.requests == []


def test_ignores_proxy_settings(allowed_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(allowed_site.serve("/", b"direct")) == b"direct"


@contextmanager
def raw_server(answer: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that does to its one client just what a test says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("GOPHER_FETCH_ALLOW", place)

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(10_000)
                try:
                    answer(client)
                except OSError:
                    pass  # it hung up on us, which is what most tests want

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://{place}/"
        thread.join(timeout=10)
        assert not thread.is_alive()


def _chunks_for_ever(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        client.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")


def test_refuses_more_bytes_than_allowed_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(_chunks_for_ever, monkeypatch) as url, pytest.raises(FetchRefused, match="more than the 5000"):
        get(url, max_bytes=5000)


def _trickle(start: bytes) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        client.sendall(start)
        while True:
            client.sendall(b"x")
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nX-Endless: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"],
    ids=["headers", "body"],
)
def test_ends_a_trickling_answer_in_time(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with (
        raw_server(_trickle(start), monkeypatch) as url,
        pytest.raises(FetchFailed, match=r"longer than 0\.5 s|timed out"),
    ):
        get(url, seconds=0.5)
    assert time.monotonic() - began < 15


def test_ends_a_silent_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    with raw_server(lambda client: void(ended.wait(10)), monkeypatch) as url:
        with pytest.raises(FetchFailed):
            get(url, seconds=0.3)
        ended.set()


@pytest.mark.parametrize("body", [b"", b"late"])
def test_only_the_receiver_of_a_message_may_be_silent_for_all_of_its_time(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may do its work before it answers, for as long as it was told."""
    monkeypatch.setattr(fetching, "SILENCE", 0.2)
    silence = threading.Event()

    def answer_late(client: socket.socket) -> None:
        silence.wait(0.8)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        silence.wait(0.8)
        client.sendall(body)

    with raw_server(answer_late, monkeypatch) as url:
        answer = fetching.post(url, b"{}", {}, seconds=30, max_bytes=100, guard=Guard.from_env())
    assert (answer.status, answer.beginning) == (200, body)
    with raw_server(lambda client: void(silence.wait(30)), monkeypatch) as url:
        with pytest.raises(FetchFailed, match="timed out"):
            get(url, seconds=30)
        silence.set()


def void(_: object) -> None:
    pass


def test_takes_a_body_that_breaks_off_as_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    with raw_server(break_off, monkeypatch) as url, pytest.raises(FetchFailed):
        get(url)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_checks_the_certificate_against_the_name_while_connecting_to_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "pictures.example")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    names: list[str | None] = []
    server_side.sni_callback = lambda _, name, __: names.append(name)
    client_side = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(fetching, "tls_context", lambda: client_side)

    for site in serve_site(lambda listener: server_side.wrap_socket(listener, server_side=True)):
        site.serve("/", b"safe")
        places = frozenset({(name, site.port) for name in ("pictures.example", "other.example")})
        guard = Guard(places, resolver=lambda host, port: ["127.0.0.1"])
        url = f"https://pictures.example:{site.port}/"
        assert fetch(url, max_bytes=100, seconds=5, guard=guard).content == b"safe"
        assert names == ["pictures.example"]
        assert site.requests == [("/", f"pictures.example:{site.port}")]
        with pytest.raises(FetchFailed, match="certificate"):
            fetch(url.replace("pictures", "other"), max_bytes=100, seconds=5, guard=guard)
