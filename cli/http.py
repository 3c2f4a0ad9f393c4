"""The API as `up` and the demo call it on this machine, and its ports."""

import socket
from typing import Any

import msgspec

from gopher.api_client import transport
from gopher.errors import ApiUnavailable

#: Seconds that one answer may take; one of /health, which is asked again and again.
_ANSWER, _HEALTH_ANSWER = 30.0, 2.0


class Api:
    """An API that listens on a host and port."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = reachable(host), port
        self.url = f"http://{self.host}:{port}"
        self._api = transport.Api(self.url)

    def call(self, method: str, path: str, body: Any = None, timeout: float = _ANSWER) -> tuple[int, Any]:
        """Send a request and return the answer's status and JSON. Raises ApiUnavailable, or ValueError for no JSON."""
        sent = None if body is None else msgspec.json.encode(body)
        answer = self._api.ask(method, path, body=sent, limit=timeout)
        return answer.status, msgspec.json.decode(answer.body or b"null")

    def health(self) -> dict[str, Any]:
        """Return what /health says; `{"status": "starting"}` while nobody answers."""
        try:
            _, answer = self.call("GET", "/health", timeout=_HEALTH_ANSWER)
        except (ApiUnavailable, ValueError):
            return {"status": "starting"}
        return answer if isinstance(answer, dict) else {"status": "starting"}


def is_ready(health: dict[str, Any]) -> bool:
    """Return whether everything runs. Healthy is also a queue without jobs and workers: here one is awaited."""
    return health["status"] == "healthy" and bool(health.get("workers"))


def reachable(host: str) -> str:
    """Return the host to call for what listens on `host`."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port of `host` on which nobody listens now."""
    return _bind(host, 0)


def is_free(host: str, port: int) -> bool:
    """Return whether we could listen there."""
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        # As the API's own socket does: a port of a server just stopped counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return int(listener.getsockname()[1])
