"""Which addresses a handler may be sent to by a URL that somebody else chose.

A URL is an order to open a connection from inside the network. So a name is resolved once, every
address it has must be a public one, and the connection goes to just these addresses: a name that
answers differently the second time (DNS rebinding) is never asked a second time.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

from gopher.errors import Discard

#: Given a host and a port, returns the addresses of the host as text.
Resolver = Callable[[str, int], list[str]]

_PORTS = frozenset({80, 443})

# What IANA's special-purpose registries keep off the open internet. Written out, since what Python's
# `is_global` says differs from version to version: 3.12.1 takes 192.0.0.192 for public, a metadata
# service, and all take NAT64 and 6to4 for it.
_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of some clouds
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # public by its number, yet Azure's host agent
            "169.254.0.0/16",  # link-local, and the metadata service of most clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documents
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documents
            "203.0.113.0/24",  # documents
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)

#: IPv6 that is routed at all. Outside lie loopback, link-local, unique local, multicast, the mapped
#: `::ffff:127.0.0.1` and NAT64 `64:ff9b::7f00:1`.
_GLOBAL_UNICAST = IPv6Network("2000::/3")

_SPECIAL_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them: it carries an IPv4 address
            "2001:db8::/32",  # documents
            "2002::/16",  # 6to4: a gateway unpacks the IPv4 address in it
            "3fff::/20",  # documents
        ),
    )
)


class FetchRefused(Discard):
    """Raised when a URL must not be fetched, or what it answers must not be used."""


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the open internet."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _SPECIAL_V4)
    # A scope (`fe80::1%eth0`) names an interface of this machine.
    if parsed.scope_id is not None or parsed not in _GLOBAL_UNICAST:
        return False
    return not any(parsed in network for network in _SPECIAL_V6)


def resolve(host: str, port: int) -> list[str]:
    """Return every address of a host, as the system's resolver gives them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Guard:
    """Decides where a fetch may connect to. `allowed` holds (host, port) pairs exempt from every rule."""

    allowed: frozenset[tuple[str, int]] = frozenset()
    resolver: Resolver = field(default=resolve)

    @classmethod
    def from_env(cls) -> "Guard":
        """Return a guard that also allows the `host:port` pairs of `GOPHER_FETCH_ALLOW`."""
        from gopher.config.settings import Settings

        return cls(frozenset(_host_and_port(entry) for entry in Settings.from_env().fetch_allow))

    def addresses(self, host: str, port: int) -> list[str]:
        """Resolve a host, once, and return the addresses to connect to. Raises FetchRefused, OSError."""
        allowed = (host, port) in self.allowed
        if port not in _PORTS and not allowed:
            raise FetchRefused(f"port {port} of {host!r} is refused: only 80 and 443 are fetched from")
        addresses = self.resolver(host, port)
        private = [address for address in addresses if not is_public(address)]
        if private and not allowed:
            raise FetchRefused(f"{host!r} is refused: its address {private[0]} is not a public one")
        return addresses


def _host_and_port(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    return host.strip("[]").lower(), int(port)
