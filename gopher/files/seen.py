"""Which store each process uses, so that `doctor` can tell whether the API and the workers see the same files.

Workers have it in their records. An API process says it here when it uses the store.
"""

import socket
import time

import msgspec

from gopher.base.salvage import UNREADABLE
from gopher.queue.store import Server
from gopher.server.errors import explained

from .opening import identity

#: Seconds between two reports of a process, and seconds for which one counts.
_PERIOD, COUNTS = 600.0, 86400.0
_said_at = float("-inf")


class Seen(msgspec.Struct, array_like=True):
    """What an API process has said."""

    store: str
    #: Unix seconds.
    at: float


_decode = msgspec.json.Decoder(Seen).decode


def say_store(server: Server) -> None:
    """Report the store of this process, now and then. Raises a ServerError."""
    global _said_at  # noqa: PLW0603 - a process reports for itself
    if time.monotonic() < _said_at + _PERIOD:
        return
    seen, key = Seen(identity(server.settings), time.time()), server.keys.stores
    with explained():
        server.client.hset(key, socket.gethostname(), msgspec.json.encode(seen))
        server.client.expire(key, int(COUNTS))
    _said_at = time.monotonic()


def api_stores(server: Server) -> dict[str, str]:
    """Return the store that the API processes of each host have used within a day."""
    with explained():
        rows = server.client.hgetall(server.keys.stores)
    found = {}
    for host, row in rows.items():
        try:
            seen = _decode(row)
        except UNREADABLE:
            continue
        if seen.at > time.time() - COUNTS:
            found[host.decode("utf-8", "replace")] = seen.store
    return found
