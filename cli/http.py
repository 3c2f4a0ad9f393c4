"""The API as `up` and the demo call it on this machine, and its ports."""

import socket
from typing import Any

import msgspec

from gopher.api_client import transport
from gopher.errors import ApiUnavailable

#: Timeouts in seconds of a request, and of /health, which is polled.
_ANSWER, _HEALTH_ANSWER = 30.0, 2.0


class Api:
    """An API at a host and port."""

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
        """Return the response of /health; `{"status": "starting"}` while there is none."""
        try:
            _, answer = self.call("GET", "/health", timeout=_HEALTH_ANSWER)
        except (ApiUnavailable, ValueError):
            return {"status": "starting"}
        return answer if isinstance(answer, dict) else {"status": "starting"}


def is_ready(health: dict[str, Any]) -> bool:
    """Return whether everything is running. /health accepts an idle queue without workers; here one is required."""
    return health["status"] == "healthy" and bool(health.get("workers"))


def reachable(host: str) -> str:
    """Return the host name to connect to for a listener on `host`."""
    if host in ("0.0.0.0", ""):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free port of `host`."""
    return _bind(host, 0)


def is_free(host: str, port: int) -> bool:
    """Return whether the port is free."""
    try:
        _bind(host, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        # Like the API's own socket: the port of a server that has just stopped is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return int(listener.getsockname()[1])
