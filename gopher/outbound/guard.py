"""Protection against SSRF: which addresses a process may connect to for an untrusted URL.

A URL makes a process open a connection from inside the network. So a name is resolved once, all of its addresses must
be public, and the connection is made to these addresses only: a name that would resolve differently later (DNS
rebinding) is not resolved again.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

from gopher.errors import Discard

#: Returns the addresses of a host as text, given host and port.
Resolver = Callable[[str, int], list[str]]

_PORTS = frozenset({80, 443})

# Addresses that IANA's special-purpose registries reserve. Listed here, since Python's `is_global` differs between
# versions: 3.12.1 considers 192.0.0.192, a metadata service, public, and all versions do so for NAT64 and 6to4.
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

#: Globally routed IPv6. It excludes loopback, link-local, unique local, multicast, the mapped
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
    """Raised when a URL must not be fetched, or its response must not be used."""


def is_public(address: str) -> bool:
    """Return whether an IP address is public."""
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
    """Return all addresses of a host from the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Guard:
    """Decides where a request may be sent. `allowed` contains (host, port) pairs exempt from all checks, `networks`
    those whose addresses are allowed on any port."""

    allowed: frozenset[tuple[str, int]] = frozenset()
    resolver: Resolver = field(default=resolve)
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def from_env(cls) -> "Guard":
        """Return a guard that also allows the `host:port` pairs of `GOPHER_FETCH_ALLOW`."""
        from gopher.config.settings import Settings

        return cls.allowing(Settings.from_env().fetch_allow)

    @classmethod
    def allowing(cls, entries: Iterable[str]) -> "Guard":
        """Return a guard that also allows `host:port` pairs and networks such as 10.0.0.0/8."""
        entries = list(entries)
        pairs = frozenset(_host_and_port(entry) for entry in entries if "/" not in entry)
        return cls(pairs, networks=tuple(ip_network(entry) for entry in entries if "/" in entry))

    def addresses(self, host: str, port: int) -> list[str]:
        """Resolve a host once and return the addresses to connect to. Raises FetchRefused, OSError."""
        if (host, port) in self.allowed:
            return self.resolver(host, port)
        if port not in _PORTS and not self.networks:
            raise _port_refused(host, port)
        addresses = self.resolver(host, port)
        others = [address for address in addresses if not self._is_in_networks(address)]
        if private := [address for address in others if not is_public(address)]:
            raise FetchRefused(f"{host!r} is not allowed: its address {private[0]} is not public")
        if others and port not in _PORTS:
            raise _port_refused(host, port)
        return addresses

    def _is_in_networks(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self.networks)


def _port_refused(host: str, port: int) -> FetchRefused:
    return FetchRefused(f"port {port} of {host!r} is not allowed: only 80 and 443 are")


def _host_and_port(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    return host.strip("[]").lower(), int(port)
