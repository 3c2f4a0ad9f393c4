"""Locates the server of a key with Sentinels or cluster nodes.

All of them are queried at the same time, so that a hanging one costs nothing. Event loops use it, too, so it never
waits much longer than the given limit; names that are slow to resolve are skipped while others respond.
"""

import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeVar

import hiredis

from gopher.base.endpoints import format_endpoint

from .access import OPEN, Access, EncryptedSocket
from .redis_py import exceptions, key_slot
from .resolver import Address, Place, resolver
from .tls_errors import explain

Found = TypeVar("Found")
#: Reads the replies of a server; None if they are of no use.
Read = Callable[[Sequence[Any], Address], Found | None]
#: Returns where a reported address is reached.
Reached = Callable[[Address], Address]

#: Seconds without another query after none was answered, since all lost connections query at the same time.
AFTER_SILENCE = 0.2
#: Seconds that other sentinels have to reply after the first one: it may have missed a failover.
LATER_REPLIES = 0.1
#: Seconds that the resolution of names may take while other servers can be queried.
SLOW_LOOKUP = 0.1


def same(address: Address) -> Address:
    return address


class Master(NamedTuple):
    """The master according to one Sentinel. The configuration with the highest epoch is the newest."""

    epoch: int
    address: Address
    #: Whether it is being replaced: a replica may have been promoted already.
    is_being_replaced: bool = False


class Sentinels:
    """The current master by its name in Sentinel, queried each time, since it may have changed."""

    def __init__(
        self, sentinels: Sequence[Address], service: str, access: Access = OPEN, reached: Reached = same
    ) -> None:
        unknown = f"no Sentinel has a master named {service!r}: check REDIS_URL"
        # The second one is for all of them: it is not put off when the first one has failed.
        self._inquiry, self._survey = (
            _Inquiry(master_question(service), access, f"no Sentinel names the master {service!r}", unknown)
            for _ in range(2)
        )
        self._sentinels = sentinels
        self._reached = reached

    def is_for_good(self, address: Address, limit: float) -> bool | None:
        """Return whether this is the master and no Sentinel is replacing it; None if too few of them reply in time.

        All of them are asked, since only the one that replaces it knows.
        """
        try:
            found = list(self._survey.answers(self._sentinels, read_master, limit, later=limit))
        except exceptions.ConnectionError:
            return None
        latest = newest(found).epoch if found else 0
        here = [each for each in found if self._reached(each.address) == address]
        if any(each.is_being_replaced for each in here) or all(each.epoch < latest for each in here):
            return False
        return True if len(found) > len(self._sentinels) // 2 else None

    def locate(self, limit: float) -> Address:
        """Return its address within `limit` seconds. Raises redis-py's ConnectionError."""
        found: list[Master] = []
        for master in self._inquiry.answers(self._sentinels, read_master, limit):
            found.append(master)
            # A Sentinel that was frozen or cut off names the previous master until it hears of the new one.
            if len(found) > len(self._sentinels) // 2:
                break
        return self._reached(newest(found).address)


def master_question(service: str) -> list[tuple[Any, ...]]:
    """Return the commands whose replies `read_master` reads.

    During a failover, the first one names the new master before the second one does.
    """
    return [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service), ("SENTINEL", "MASTER", service)]


def read_master(replies: Sequence[Any], _sentinel: Address | None = None) -> Master | None:
    """Parse a Sentinel's replies; None if it does not know the name, or replied with an error."""
    address, details = replies[-2:]
    if not isinstance(address, list) or len(address) != 2:
        return None
    words = details if isinstance(details, list) else []
    fields = {
        name: value
        for name, value in zip(words[0::2], words[1::2], strict=False)
        if isinstance(name, bytes) and isinstance(value, bytes)
    }
    # Once the replica has been promoted, the first reply names it.
    is_promoted = (fields.get(b"ip"), fields.get(b"port")) != tuple(address)
    return Master(
        int(fields.get(b"config-epoch", -1)),
        (address[0].decode(), int(address[1])),
        b"failover_in_progress" in fields.get(b"flags", b"") and not is_promoted,
    )


def newest(masters: Sequence[Master]) -> Master:
    return max(masters, key=lambda master: master.epoch)


class ClusterMap:
    """The primaries of a cluster by slot, queried if they may have changed."""

    def __init__(self, nodes: Sequence[Address], access: Access = OPEN, reached: Reached = same) -> None:
        self._inquiry = _Inquiry([("CLUSTER", "SLOTS")], access, "no node of the cluster reports its slots")
        self._reached = reached
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

    def known(self, key: str) -> Address | None:
        """Return the address of the node of `key`, None if `locate` would have to query the nodes."""
        return None if self._doubtful else self._slots[key_slot(key.encode())]

    def doubt(self) -> None:
        """Make the next `locate` query the nodes: a connection was lost, or its node is the wrong one."""
        self._doubtful = True

    def _ask(self, limit: float) -> None:
        ranges = self._inquiry.first(self._nodes, partial(_slot_ranges, self._reached), limit)
        slots: list[Address | None] = [None] * 16384
        for first, last, primary, _ in ranges:
            slots[first : last + 1] = [primary] * (last + 1 - first)
        self._slots, self._doubtful = slots, False
        self._nodes = tuple({*self._configured, *(address for *_, all_of in ranges for address in all_of)})


class _Inquiry:
    """A query that any of several servers can answer. `silence` is the error if none does, `unknown` if none can."""

    def __init__(self, commands: Sequence[tuple[Any, ...]], access: Access, silence: str, unknown: str = "") -> None:
        commands = [*access.login(), *commands]
        self._request = pack(commands)
        self._replies = len(commands)
        self._access = access
        self._silence, self._unknown = silence, unknown
        self._not_before = 0.0
        #: Why servers did not answer the last time; empty if they replied that they don't know.
        self._reasons: dict[Address, str] = {}

    def first(self, servers: Sequence[Address], read: Read[Found], limit: float) -> Found:
        """Return the first reply that `read` can parse."""
        return next(iter(self.answers(servers, read, limit)))

    def answers(
        self, servers: Sequence[Address], read: Read[Found], limit: float, *, later: float = LATER_REPLIES
    ) -> Iterator[Found]:
        """Yield the replies that `read` can parse, fastest first; raise ConnectionError if there are none.

        After the first one the others have `later` seconds.
        """
        if time.monotonic() >= self._not_before:
            self._reasons = dict.fromkeys(servers, "its name can't be resolved")
            places = resolver.look_up(servers, min(limit, SLOW_LOOKUP))
            while True:
                any_answer = False
                for found in self._answers_from(places, read, limit, later):
                    any_answer = True
                    yield found
                slow = [server for server in servers if server not in places]
                if any_answer or not slow:
                    break
                servers, places = slow, resolver.look_up(slow, limit, again=True)
                if not places:
                    break
            if any_answer:
                return
            self._not_before = time.monotonic() + AFTER_SILENCE
        raise exceptions.ConnectionError(self._failure())

    def _failure(self) -> str:
        if self._unknown and "" in self._reasons.values():
            return self._unknown
        by_reason: dict[str, list[str]] = {}
        for server, reason in self._reasons.items():
            by_reason.setdefault(reason or "no usable reply", []).append(format_endpoint(server))
        details = "; ".join(f"{', '.join(servers)}: {reason}" for reason, servers in by_reason.items())
        return f"{self._silence} ({details})"

    def _answers_from(
        self, places: Mapping[Address, Sequence[Place]], read: Read[Found], limit: float, later: float
    ) -> Iterator[Found]:
        with ExitStack() as opened:
            selector = opened.enter_context(selectors.DefaultSelector())
            for server, addresses in places.items():
                # A name may have addresses of both families, while the server listens on only one of them.
                for place in addresses:
                    self._reasons[server] = (
                        "no reply" if self._access.tls is None else "no reply to the TLS handshake: does it use TLS?"
                    )
                    try:
                        connection = self._access.secure(opened.enter_context(begin_to_connect(place)), server[0])
                    except OSError as error:
                        self._reasons[server] = self._reason(error, server)
                        continue
                    selector.register(connection, selectors.EVENT_WRITE, (server, hiredis.Reader(), []))
            until = time.monotonic() + limit
            while selector.get_map():
                left = until - time.monotonic()
                ready = selector.select(max(left, 0))
                # What has arrived counts, also if this process had no processor until now.
                if left <= 0 and (not ready or left < -limit):
                    break
                for key, mask in ready:
                    server, _, replies = key.data
                    if not self._is_answered(key, mask, selector):
                        continue
                    if (found := read(replies, server)) is None:
                        self._reasons[server] = _explained(replies)
                        continue
                    yield found
                    until = min(until, time.monotonic() + later)

    def _is_answered(self, key: selectors.SelectorKey, mask: int, selector: selectors.BaseSelector) -> bool:
        """Send the request, or read replies; return whether all are here."""
        connection: Any = key.fileobj
        server, reader, replies = key.data
        try:
            if mask & selectors.EVENT_WRITE:
                # Some hundred bytes on a new connection fit into its buffer.
                connection.sendall(self._request)
                selector.modify(connection, selectors.EVENT_READ, key.data)
                return False
            if not self._is_whole(connection, reader, replies):
                return False
        except (OSError, hiredis.HiredisError) as error:
            self._reasons[server] = self._reason(error, server)
            selector.unregister(connection)
            return False
        selector.unregister(connection)
        return True

    def _is_whole(
        self, connection: socket.socket | EncryptedSocket, reader: hiredis.Reader, replies: list[Any]
    ) -> bool:
        data = connection.recv(65536)
        if data is None:
            # Of the handshake.
            return False
        if not data:
            raise ConnectionResetError
        reader.feed(data)
        while len(replies) < self._replies and (reply := reader.gets()) is not False:
            replies.append(reply)
        return len(replies) == self._replies

    def _reason(self, error: Exception, server: Address) -> str:
        # Event loops query, too, and can't wait for a probe.
        text = explain(error, *server, encrypted=self._access.tls is not None, may_probe=False)
        if text is None and isinstance(error, ConnectionResetError):
            text = "it closes the connection without a reply"
            text += ": does it expect TLS?" if self._access.tls is None else ""
        return text or (isinstance(error, OSError) and error.strerror) or str(error)


#: What error replies to sentinels' clients mean. Cluster nodes are queried first by redis-py, whose errors are others.
_REPLIES = {
    "NOAUTH": "it requires a password: set REDIS_SENTINEL_PASSWORD",
    "WRONGPASS": "it rejects the password: check REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD",
    "ERR AUTH": "it has no password: unset REDIS_SENTINEL_PASSWORD",
    # The same as nothing, which is the reply to the other question.
    "ERR No such master": "",
    "ERR unknown command 'SENTINEL'": "it is no Sentinel",
    "ERR unknown command `SENTINEL`": "it is no Sentinel",
}


def _explained(replies: Sequence[Any]) -> str:
    """Return why replies are of no use: the first error; nothing if there is none."""
    error = next((str(reply) for reply in replies if isinstance(reply, Exception)), "")
    return next((text for start, text in _REPLIES.items() if error.startswith(start)), error)


def pack(commands: Iterable[tuple[Any, ...]]) -> bytes:
    return b"".join(map(hiredis.pack_command, commands))


def begin_to_connect(place: Place) -> socket.socket:
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


def _slot_ranges(
    reached: Reached, replies: Sequence[Any], node: Address
) -> list[tuple[int, int, Address, list[Address]]] | None:
    """Parse CLUSTER SLOTS: (first slot, last slot, primary, all nodes). Raises if the node knows none."""
    reply = replies[-1]
    if not isinstance(reply, list) or not reply:
        return None
    ranges = []
    for first, last, *nodes in reply:
        # A node that does not know its own address omits it: use the address that was queried.
        addresses = [reached(((each[0] or b"").decode() or node[0], int(each[1]))) for each in nodes]
        ranges.append((int(first), int(last), addresses[0], addresses))
    return ranges
