"""Locates the server of a key with Sentinels or cluster nodes.

All of them are queried at the same time, and the first reply is used, so that a hanging one costs nothing. Event loops
use it, too, so it never waits longer than the given limit. Only name resolution can take longer; names that were slow
are skipped while others respond.
"""

import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import hiredis
from redis import exceptions
from redis.crc import key_slot

Address = tuple[str, int]
#: Arguments of name resolution.
_Place = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
Found = TypeVar("Found")

#: Seconds without another query after none was answered, since all lost connections query at the same time.
AFTER_SILENCE = 0.2
#: Seconds above which name resolution is considered slow. It has no timeout and blocks the loop.
SLOW_LOOKUP = 0.1


class Sentinels:
    """The current master by its name in Sentinel, queried each time, since it may have changed."""

    def __init__(self, sentinels: Sequence[Address], service: str) -> None:
        self._service = service
        self._inquiry = _Inquiry([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)])
        self._sentinels = sentinels

    def locate(self, limit: float) -> Address:
        """Return its address within `limit` seconds. Raises redis-py's ConnectionError."""
        return self._inquiry.first(
            self._sentinels, _master, limit, f"no Sentinel has a master named {self._service!r}: check REDIS_URL"
        )


class ClusterMap:
    """The primaries of a cluster by slot, queried if they may have changed."""

    def __init__(self, nodes: Sequence[Address], username: str | None, password: str | None) -> None:
        login = [("AUTH", username or "default", password)] if password is not None else []
        self._inquiry = _Inquiry([*login, ("CLUSTER", "SLOTS")])
        self._nodes = self._configured = tuple(nodes)
        self._slots: list[Address | None] = []
        self._doubtful = True

    def locate(self, key: str, limit: float) -> Address:
        """Return the address of the node of `key` within `limit` seconds. Raises redis-py's ConnectionError."""
        if self._doubtful:
            self._ask(limit)
        found = self._slots[key_slot(key.encode())]
        if found is None:
            self._doubtful = True
            raise exceptions.ConnectionError(f"no node of the cluster serves the slot of {key!r}")
        return found

    def doubt(self) -> None:
        """Make the next `locate` query the nodes: a connection was lost, or its node is the wrong one."""
        self._doubtful = True

    def _ask(self, limit: float) -> None:
        ranges = self._inquiry.first(self._nodes, _slot_ranges, limit, "no node of the cluster reports its slots")
        slots: list[Address | None] = [None] * 16384
        for first, last, primary, _ in ranges:
            slots[first : last + 1] = [primary] * (last + 1 - first)
        self._slots, self._doubtful = slots, False
        self._nodes = tuple({*self._configured, *(address for *_, all_of in ranges for address in all_of)})


class _Inquiry:
    """A query that any of several servers can answer."""

    def __init__(self, commands: Sequence[tuple[Any, ...]]) -> None:
        self._request = b"".join(hiredis.pack_command(command) for command in commands)
        self._replies = len(commands)
        self._not_before = 0.0
        #: Servers whose names were slow to resolve: queried only if no other one responds.
        self._slow: set[Address] = set()

    def first(
        self, servers: Sequence[Address], read: Callable[[Any, Address], Found | None], limit: float, silence: str
    ) -> Found:
        """Return the first reply that `read` can parse."""
        if time.monotonic() >= self._not_before:
            slow = [server for server in servers if server in self._slow]
            for some in ([server for server in servers if server not in self._slow], slow):
                with ExitStack() as opened:
                    for reply, server in self._replies_of(some, limit, opened):
                        found = read(reply, server)
                        if found is not None:
                            return found
            self._not_before = time.monotonic() + AFTER_SILENCE
        raise exceptions.ConnectionError(silence)

    def _replies_of(self, servers: Sequence[Address], limit: float, opened: ExitStack) -> Iterable[tuple[Any, Address]]:
        """Yield (reply, server) of each server that responds, fastest first."""
        selector = opened.enter_context(selectors.DefaultSelector())
        for server in servers:
            # A name may have addresses of both families, while the server listens on only one of them.
            for place in self._look_up(server):
                with suppress(OSError):
                    connection = opened.enter_context(_begin_to_connect(place))
                    selector.register(connection, selectors.EVENT_WRITE, (server, hiredis.Reader(), []))
        # From here on, so that slow name resolution does not reduce the time for replies.
        until = time.monotonic() + limit
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            for key, mask in selector.select(left):
                server, reader, replies = key.data
                connection = key.fileobj  # type: ignore[assignment]
                try:
                    if mask & selectors.EVENT_WRITE:
                        # Some hundred bytes on a new connection fit into its buffer.
                        connection.sendall(self._request)
                        selector.modify(connection, selectors.EVENT_READ, key.data)
                    elif self._is_whole(connection, reader, replies):
                        selector.unregister(connection)
                        yield replies[-1], server
                except (OSError, hiredis.HiredisError):
                    selector.unregister(connection)

    def _look_up(self, server: Address) -> Sequence[_Place]:
        """Resolve a server's name; record whether that was slow."""
        began, found = time.monotonic(), []
        with suppress(OSError):
            found = socket.getaddrinfo(*server, type=socket.SOCK_STREAM)
        (self._slow.add if time.monotonic() - began > SLOW_LOOKUP else self._slow.discard)(server)
        return found

    def _is_whole(self, connection: socket.socket, reader: hiredis.Reader, replies: list[Any]) -> bool:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("closed")
        reader.feed(data)
        while len(replies) < self._replies and (reply := reader.gets()) is not False:
            replies.append(reply)
        return len(replies) == self._replies


def _begin_to_connect(place: _Place) -> socket.socket:
    family, kind, protocol, _, address = place
    connection = socket.socket(family, kind, protocol)
    connection.setblocking(False)
    try:
        connection.connect(address)
    except BlockingIOError:
        pass
    except OSError:
        connection.close()
        raise
    return connection


def _master(reply: Any, _sentinel: Address) -> Address | None:
    """Parse a Sentinel's reply: host and port, nil for an unknown name, or an error."""
    return (reply[0].decode(), int(reply[1])) if isinstance(reply, list) and len(reply) == 2 else None


def _slot_ranges(reply: Any, node: Address) -> list[tuple[int, int, Address, list[Address]]] | None:
    """Parse CLUSTER SLOTS: (first slot, last slot, primary, all nodes). Raises if the node knows none."""
    if not isinstance(reply, list) or not reply:
        return None
    ranges = []
    for first, last, *nodes in reply:
        # A node that does not know its own address omits it: use the address that was queried.
        addresses = [((each[0] or b"").decode() or node[0], int(each[1])) for each in nodes]
        ranges.append((int(first), int(last), addresses[0], addresses))
    return ranges
