"""By which names the API may be called: closed to DNS rebinding.

A page in a browser that reaches the API may let a name of its own lead here, and is then of the same origin: it can do
whatever needs no key. The name in the Host header gives it away.
"""

import ipaddress
import re
from functools import lru_cache

from flask import Request
from werkzeug.exceptions import Forbidden

from gopher.config.settings import Settings

_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?")


def check(asked: Request, settings: Settings) -> None:
    """Refuse a request whose Host is not a name of this API.

    Where keys are set and no hosts, any name is taken: a page of others has no key. Addresses are taken where other
    machines may call at all: no name leads elsewhere by one, and probes of platforms use them.
    """
    allowed = settings.allowed_hosts
    if (settings.api_keys and not allowed) or "*" in allowed:
        return
    if not _is_allowed(asked.host, allowed, settings.listens_beyond_loopback):
        remedy = "" if settings.api_keys else ", or set GOPHER_API_KEYS"
        raise Forbidden(
            f"{asked.host[:80]!r} is not this machine, nor a host of GOPHER_ALLOWED_HOSTS: ask for http://localhost, "
            f"add the host there{remedy}"
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
    """Return whether an entry of the list means a host: `.example.com` is all below example.com, and itself."""
    return host == entry.removeprefix(".") or (entry.startswith(".") and host.endswith(entry))
