"""Host names that the API accepts: protection against DNS rebinding.

A malicious page can make its own host name resolve to this API, which the browser then treats as the same origin, so
that the page can do whatever needs no key. The Host header reveals it.
"""

import ipaddress
import re
from functools import lru_cache

from flask import Request
from werkzeug.exceptions import Forbidden

from gopher.config.settings import Settings

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?")


def check(asked: Request, settings: Settings) -> None:
    """Reject a request whose Host is not a name of this API.

    With keys and no configured hosts, any name is accepted: a malicious page has no key. IP addresses are accepted
    where other machines may call at all: rebinding needs a name, and platforms' probes use addresses.
    """
    allowed = settings.allowed_hosts
    if (settings.requires_api_key and not allowed) or "*" in allowed:
        return
    if not _is_allowed(asked.host, allowed, settings.listens_beyond_loopback):
        remedy = "" if settings.requires_api_key else ", or set GOPHER_API_KEYS"
        raise Forbidden(
            f"host {asked.host[:80]!r} is neither this machine nor in GOPHER_ALLOWED_HOSTS: use http://localhost, "
            f"add the host to GOPHER_ALLOWED_HOSTS{remedy}"
        )


@lru_cache(maxsize=256)
def _is_allowed(place: str, allowed: tuple[str, ...], any_address: bool) -> bool:
    match = _PLACE.fullmatch(place)
    if match is None:
        return False
    host = (match[1] or match[2]).lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost") or any(_names(entry, host) for entry in allowed)
    return address.is_loopback or any_address or str(address) in allowed


def _names(entry: str, host: str) -> bool:
    """Return whether an entry matches a host: `.example.com` matches example.com and all its subdomains."""
    return host == entry.removeprefix(".") or (entry.startswith(".") and host.endswith(entry))
