"""No URL of somebody else leads a handler to an address inside."""

import socket

import pytest

from gopher.outbound.fetching import FetchFailed, fetch
from gopher.outbound.guard import FetchRefused, Guard, is_public
from tests.handlers.conftest import Site

#: Each leads inside, or is no http(s) URL of port 80 or 443. Names are resolved as the system does.
INSIDE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.255.255.254/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25lo]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "https://127.0.0.1/",
    "http://user:password@127.0.0.1/",
    "http://8.8.8.8@127.0.0.1/",
    "http://8.8.8.8\\@127.0.0.1/",
    "http://8.8.8.8:8080/",
    "http://8.8.8.8:22/",
    "http://8.8.8.8:99999/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http:///etc/passwd",
    "http://",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:6379/INFO",
    "//127.0.0.1/",
    "127.0.0.1",
    "",
]


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test at the first try to connect anywhere."""

    def connect(self: socket.socket, address: object) -> None:
        pytest.fail(f"connected to {address}")

    monkeypatch.setattr(socket, "create_connection", lambda address, *_, **__: pytest.fail(f"connected to {address}"))
    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.parametrize("url", INSIDE)
def test_refuses_a_url_that_resolves_to_a_private_address(url: str, no_connection: None) -> None:
    with pytest.raises(FetchRefused):
        fetch(url, max_bytes=100, seconds=2)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111", "2001:4860:4860::8888"]
)
def test_takes_addresses_of_the_open_internet(address: str) -> None:
    assert is_public(address)


def test_refuses_a_name_with_one_address_inside_among_public_ones() -> None:
    guard = Guard(resolver=lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(FetchRefused, match=r"10\.0\.0\.1 is not public"):
        guard.addresses("mixed.example", 80)


def test_asks_for_a_name_once_so_that_a_second_answer_is_never_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is public and passes, the second would lead to the site on loopback."""
    answers = iter([["192.0.2.77"], ["127.0.0.1"], ["127.0.0.1"]])
    asked: list[str] = []
    connected: list[object] = []

    def flip(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    def create_connection(address: tuple[str, int], *_: object, **__: object) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    # 192.0.2.77 stands for a public address: it is for documents, and nobody answers there.
    monkeypatch.setattr("gopher.outbound.guard.is_public", lambda address: address == "192.0.2.77")
    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(FetchFailed):
        fetch("http://flipping.example/", max_bytes=100, seconds=2, guard=Guard(resolver=flip))
    assert asked == ["flipping.example"]
    assert connected == ["192.0.2.77"]
    assert site.requests == []


def test_checks_the_name_again_when_a_redirect_leads_back_to_it(site: Site) -> None:
    """The flip may also come between two requests: each connection is judged by the addresses it uses."""
    site.serve("/", b"", 302, Location="http://flipping.example/inside")
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    guard = Guard(frozenset({("127.0.0.1", site.port)}), resolver=lambda host, port: next(answers))
    with pytest.raises(FetchRefused, match=r"10\.0\.0\.1"):
        fetch(site.url("/"), max_bytes=100, seconds=2, guard=guard)


def test_says_that_a_name_without_address_may_have_one_later() -> None:
    def nothing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with pytest.raises(FetchFailed, match="Temporary failure"):
        fetch("http://away.example/", max_bytes=100, seconds=2, guard=Guard(resolver=nothing))


def test_allows_just_the_places_that_the_settings_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPHER_FETCH_ALLOW", f"{site.place}, [::1]:8081,Intranet:8082")
    guard = Guard.from_env()
    assert guard.allowed == {("127.0.0.1", site.port), ("::1", 8081), ("intranet", 8082)}
    with pytest.raises(FetchRefused, match="port"):
        guard.addresses("127.0.0.1", 8081)
    with pytest.raises(FetchRefused, match="is not public"):
        guard.addresses("127.0.0.1", 80)
