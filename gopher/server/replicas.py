"""What a server's INFO tells of its replicas."""

import re
from typing import Any, NamedTuple

from gopher.base.patterns import regex

#: Seconds after a replica has disconnected during which it may have been promoted while the server does not know yet.
#: Sentinel notices within about two seconds that a replica has followed its order, and then tells where the master is.
MAY_BE_PROMOTED = 5.0

_FIELD = regex(rb"^(master_replid|slave\d+):(.*?)\r?$", re.MULTILINE)
_REPLICA = regex(rb"ip=([^,]*),port=(\d+),state=online,")


class Look(NamedTuple):
    """The history that the server writes, which changes with a promotion, and the addresses of connected replicas."""

    history: bytes
    connected: frozenset[bytes]


def read_look(reply: Any) -> Look | None:
    """Parse INFO replication; None if the server does not permit it."""
    if not isinstance(reply, bytes):
        return None
    history, connected = b"", set()
    for name, value in _FIELD.findall(reply):
        if name == b"master_replid":
            history = value
        elif found := _REPLICA.match(value):
            connected.add(b"%s:%s" % found.groups())
    return Look(history, frozenset(connected))


class Replicas:
    """The replicas of one server, as one process has seen them."""

    def __init__(self) -> None:
        self._history = b""
        #: How many are connected; None if that is not known.
        self.connected: int | None = None
        #: Whether no other server was taking over when this history was seen first; None if that is not known. Replicas
        #: show later ones.
        self.is_for_good: bool | None = None
        #: When it was asked last (monotonic s).
        self.asked_at = float("-inf")
        #: Address -> when it was first missing (monotonic s), None while it is connected.
        self._missing_since: dict[bytes, float | None] = {}

    def saw(self, look: Look | None, now: float) -> None:
        if look is None:
            # Whether it is still the same server is not known either.
            self.connected = self.is_for_good = None
            return
        if look.history != self._history:
            # Another server, or one that was promoted or restarted: its replicas come one by one.
            self._history, self._missing_since = look.history, {}
            self.is_for_good = None
        self.connected = len(look.connected)
        known = self._missing_since
        missing = {name: now if since is None else since for name, since in known.items() if name not in look.connected}
        recent = {name: since for name, since in missing.items() if now - since < MAY_BE_PROMOTED}
        self._missing_since = {**recent, **dict.fromkeys(look.connected)}

    def are_at_least(self, count: int) -> bool:
        """Return whether at least that many are known to be connected."""
        return self.connected is not None and self.connected >= count

    @property
    def one_may_be_promoted(self) -> bool:
        """Whether one has disconnected recently, so that it may have been promoted in place of this server.

        The others still follow this server for a moment, and confirm writes that will be lost.
        """
        return any(since is not None for since in self._missing_since.values())
