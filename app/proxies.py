"""Takes a client's address and scheme from the headers of the reverse proxies that GOPHER_TRUSTED_PROXIES counts."""

import ipaddress
from collections.abc import Callable
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

Environ = dict[str, Any]


def behind(count: int) -> Callable[[Environ], None]:
    """Return what changes the environment of a request that came through that many proxies.

    The last proxy adds the address that it was called from to X-Forwarded-For, and so on: entries before those of
    trusted proxies may be anything that a client has sent.
    """
    proxy_fix: Any = ProxyFix(_none, x_for=count, x_proto=count, x_host=0, x_port=0, x_prefix=0)

    def change(environ: Environ) -> None:
        proxy_fix(environ, _none)
        environ["REMOTE_ADDR"] = _without_port(environ.get("REMOTE_ADDR", ""))

    return change


def _none(environ: Environ, start_response: Any) -> tuple[bytes, ...]:
    return ()


def _without_port(address: str) -> str:
    """Return an address without the port that some proxies add: with it, each connection would be another client."""
    host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return host
    return address
