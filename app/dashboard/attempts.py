"""Slows down attempts to sign in, across all API processes: those of each address, and those of all together.

The latter slow down a guesser with many addresses. They don't keep out an address from which a visitor has signed in.
"""

import hashlib
import ipaddress

from gopher.admin.admission import Turnstile
from gopher.base.rates import Rate
from gopher.queue.store import Server
from gopher.server.errors import explained

#: Attempts of an address, and of all addresses together.
_OF_ONE, _OF_ALL = Turnstile(Rate(10, 60.0)), Turnstile(Rate(120, 60.0))
#: Seconds for which an address is known after a sign-in.
_KNOWN_FOR = 30 * 86400


class Attempt:
    """An attempt to sign in. It counts until it has succeeded."""

    def __init__(self, server: Server, address: str) -> None:
        self._server, self._network = server, _network(address)
        self._known = server.keys.known_address(hashlib.sha256(self._network.encode()).hexdigest()[:32])
        self._is_known = False

    def begin(self) -> float:
        """Count the attempt; return after how many seconds it may be made, 0 for now. Raises a ServerError."""
        own = _OF_ONE.ask(self._server, f"sign-in {self._network}")
        if not own.admitted:
            return own.retry_after
        with explained():
            self._is_known = bool(self._server.client.exists(self._known))
        return 0.0 if self._is_known else _OF_ALL.ask(self._server, "sign-in").retry_after

    def succeed(self) -> None:
        """Don't count the attempt, and remember the address. Raises a ServerError."""
        _OF_ONE.give_back(self._server, f"sign-in {self._network}")
        if not self._is_known:
            _OF_ALL.give_back(self._server, "sign-in")
        self._server.write(self._known, lambda: self._server.client.set(self._known, "1", ex=_KNOWN_FOR))


def _network(address: str) -> str:
    """Return the address, or the network of an IPv6 address: a host has 2**64 of those."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
