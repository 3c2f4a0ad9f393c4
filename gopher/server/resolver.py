"""Name resolution within a time limit.

The system's resolver has none: while its name servers are silent, it blocks for many seconds, and so would an event
loop. So names are resolved in threads, each of which ends with its lookup. Numeric addresses need none.
"""

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterable, Sequence

from .redis_py import exceptions

Address = tuple[str, int]
#: A result of name resolution.
Place = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]

#: Seconds for which a name counts as just resolved.
RECENT = 2.0
#: Errors after which the last known addresses are used: the name servers are unreachable.
_TEMPORARY = {socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_FAIL}


class Resolver:
    """Resolves names, and remembers the last results. Threads may share one, and it may be forked."""

    def __init__(self) -> None:
        self._known: dict[Address, Sequence[Place]] = {}
        #: When a lookup of a name ended, with or without a result (monotonic s).
        self._ended_at: dict[Address, float] = {}
        self._start_over()

    def _start_over(self) -> None:
        self._owner = os.getpid()
        self._under_way: dict[Address, threading.Event] = {}

    def look_up(
        self, servers: Iterable[Address], limit: float, *, again: bool = False
    ) -> dict[Address, Sequence[Place]]:
        """Return the addresses of servers that can be resolved within `limit` seconds altogether.

        For a lookup that was already under way, return the last result at once, or wait for it if `again`.
        """
        if self._owner != os.getpid():
            self._start_over()
        found, awaited = {}, {}
        for server in servers:
            if _is_numeric(server[0]):
                found[server] = _resolve(server)
                continue
            is_new = server not in self._under_way
            lookup = self._begin(server) if is_new else self._under_way.get(server)
            if lookup is not None and (is_new or again):
                awaited[server] = lookup
            elif server in self._known:
                found[server] = self._known[server]
        until = time.monotonic() + limit
        for server, lookup in awaited.items():
            lookup.wait(max(until - time.monotonic(), 0.0))
            if server in self._known:
                found[server] = self._known[server]
        return found

    def require(self, server: Address, limit: float) -> None:
        """Raise redis-py's ConnectionError unless a lookup of the name ends within `limit` seconds.

        For callers that connect with a library that looks the name up itself, as often as it wants.
        """
        if _is_numeric(server[0]) or time.monotonic() - self._ended_at.get(server, float("-inf")) < RECENT:
            return
        self.look_up([server], limit)
        if server in self._under_way:
            raise exceptions.ConnectionError(f"the name {server[0]} could not be resolved in time")

    def _begin(self, server: Address) -> threading.Event:
        done = self._under_way[server] = threading.Event()
        threading.Thread(target=self._look_up, args=(server, done), name="resolver", daemon=True).start()
        return done

    def _look_up(self, server: Address, done: threading.Event) -> None:
        try:
            self._known[server] = _resolve(server)
        except socket.gaierror as error:
            if error.errno not in _TEMPORARY:
                self._known.pop(server, None)
        except (OSError, UnicodeError):
            self._known.pop(server, None)
        finally:
            self._ended_at[server] = time.monotonic()
            self._under_way.pop(server, None)
            done.set()


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _resolve(server: Address) -> Sequence[Place]:
    return socket.getaddrinfo(*server, type=socket.SOCK_STREAM)  # type: ignore[return-value]


#: Shared by all connections of the process.
resolver = Resolver()
