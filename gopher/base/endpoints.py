"""Host and port of a server, as they are written in URLs and settings."""

import ipaddress
import re

from gopher.base.patterns import regex

Endpoint = tuple[str, int]

_ENDPOINT = regex(r"(\[[^\[\]\s]+\]|[^\s\[\]:@/?#,=]+)(?::([0-9]{0,5}))?")
EXPECTED_MAP = "addresses such as 10.0.0.5:6379=redis.example.com:7001, comma-separated, each once"


def parse_endpoint(text: str, default_port: int) -> Endpoint:
    """Parse `host`, `host:port` or `[IPv6]:port`. Raises ValueError."""
    match = _ENDPOINT.fullmatch(text)
    port = int((match and match[2]) or default_port)
    if match is None or not (0 < port < 65536 or (port == default_port and not match[2])):
        # Not repeated here: if a password contains an unquoted / or #, this is a part of it.
        brackets = ", and an IPv6 address in brackets" if re.fullmatch(r"[0-9A-Fa-f:.%]+:[0-9A-Fa-f:.%]*", text) else ""
        raise ValueError(f"expected host or host:port (a password must be percent-encoded){brackets}")
    return (_ipv6(match[1][1:-1]) if match[1].startswith("[") else match[1]), port


def _ipv6(text: str) -> str:
    # The percent sign of a zone is percent-encoded in URLs (RFC 6874).
    host = text.replace("%25", "%")
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError("expected an IPv6 address in the brackets") from None
    return host


def parse_endpoints(text: str, default_port: int) -> tuple[Endpoint, ...]:
    """Parse a comma-separated list. Raises ValueError."""
    return tuple(parse_endpoint(entry.strip(), default_port) for entry in text.split(","))


def format_endpoint(endpoint: Endpoint) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    host, port = endpoint
    return f"[{host.replace('%', '%25')}]:{port}" if ":" in host else f"{host}:{port}"


class AddressMap:
    """Where the addresses that Sentinel or a cluster reports are reached: behind NAT, clients need others.

    Entries are `reported=reached`, comma-separated. Without a port on the left an entry is for all ports of the host,
    and without one on the right it keeps the port.
    """

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        self._reached: dict[Endpoint, Endpoint] = {}
        #: The map as text.
        self.text = text = re.sub(r"\s", "", text)
        for entry in text.split(",") if text else ():
            reported, _, reached = entry.partition("=")
            key = parse_endpoint(reported, 0)
            if key in self._reached:
                raise ValueError(f"expected {EXPECTED_MAP}")
            self._reached[key] = parse_endpoint(reached, 0)

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        """Return where the endpoint is reached."""
        host, port = endpoint
        found = self._reached.get(endpoint) or self._reached.get((host, 0)) or endpoint
        return found[0], found[1] or port

    def __bool__(self) -> bool:
        return bool(self._reached)
