"""GOPHER_TRUSTED_PROXIES: a client's address is the one that a trusted proxy has added, not what the client says."""

import pytest
from gopher.app.proxies import behind
from werkzeug.test import create_environ
from werkzeug.wrappers import Request

from tests.app.conftest import running_api


def seen_by(count: int, **headers: str) -> str:
    """Return what an API behind so many proxies takes for a client's scheme and address."""
    environ = create_environ(headers={name.replace("_", "-"): text for name, text in headers.items()})
    environ["REMOTE_ADDR"] = "10.0.0.1"
    behind(count)(environ)
    request = Request(environ)
    return f"{request.scheme} {request.remote_addr}"


@pytest.mark.parametrize(
    ("count", "forwarded", "address"),
    [
        (1, "192.0.2.7", "192.0.2.7"),
        (1, "6.6.6.6, 192.0.2.7", "192.0.2.7"),
        (2, "6.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7"),
        (2, "192.0.2.7", "10.0.0.1"),
        (1, "", "10.0.0.1"),
        (1, "192.0.2.7:50123", "192.0.2.7"),
        (1, "2001:db8::7", "2001:db8::7"),
        (1, "[2001:db8::7]:50123", "2001:db8::7"),
        (1, "[2001:db8::7]", "2001:db8::7"),
        (1, "unknown", "unknown"),
    ],
)
def test_the_address_is_what_the_outermost_trusted_proxy_has_added(count, forwarded, address):
    assert seen_by(count, X_Forwarded_For=forwarded) == f"http {address}"


def test_the_scheme_is_what_a_trusted_proxy_says():
    assert seen_by(1, X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https") == "https 192.0.2.7"


def test_one_client_behind_a_proxy_can_not_use_up_the_rate_of_another(folder, redis_url, namespace):
    variables = {"GOPHER_NAMESPACE": namespace, "GOPHER_API_RATE": "2/h", "GOPHER_TRUSTED_PROXIES": "1"}
    with running_api(folder, redis_url, **variables) as api:
        # A client that invents addresses in front of its own is still one client.
        one = [{"X-Forwarded-For": f"192.0.2.{number}, 192.0.2.7"} for number in range(3)]
        assert [api.get("/api/v1/jobs", headers=each).status_code for each in one] == [200, 200, 429]
        # The body of this one is not received before it is admitted.
        long = {"X-Forwarded-For": "192.0.2.7", "Expect": "100-continue"}
        assert api.post("/api/v1/jobs", content=b"x" * 200_000, headers=long).status_code == 429
        assert api.get("/api/v1/jobs", headers={"X-Forwarded-For": "192.0.2.8"}).status_code == 200


def test_without_trusted_proxies_the_header_is_not_read(folder, redis_url, namespace):
    with running_api(folder, redis_url, GOPHER_NAMESPACE=namespace, GOPHER_API_RATE="2/h") as api:
        clients = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(3)]
        assert [api.get("/api/v1/jobs", headers=each).status_code for each in clients] == [200, 200, 429]
