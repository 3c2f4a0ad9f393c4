"""The connections of an event loop: one link to each node of the server, bells, and who reads them."""

import select
import selectors
import time
from collections.abc import Callable, Iterable

from redis.connection import ConnectionPool

from .link import Bell, Link, Wire
from .server import Server

#: Descriptors below this are those that `select` takes.
_SELECTABLE = 1024


class Wires:
    """Makes links and bells that the selector watches. A selector's data is called with the event mask."""

    def __init__(self, server: Server, selector: selectors.BaseSelector) -> None:
        self._server = server
        self._selector = selector
        self._links: list[tuple[ConnectionPool, Link]] = []
        self._bells: list[Bell] = []

    @property
    def links(self) -> Iterable[Link]:
        return (link for _, link in self._links)

    def link_to(self, key: str) -> Link:
        """Return the link to the node that holds `key`; keys of one node share it."""
        pool = self._server.pools.of(key)
        for known, link in self._links:
            if known is pool:
                return link
        link = Link(self._server, key)
        self._watch(link.wire, link.readable)
        self._links.append((pool, link))
        return link

    def bell(self, key: str, readable: Callable[[Bell, float], None]) -> Bell:
        """Return a bell on the node that holds `key`; `readable` is told when it has something to read."""
        bell = Bell(self._server, key)
        self._watch(bell.wire, lambda now: readable(bell, now))
        self._bells.append(bell)
        return bell

    def check(self, now: float) -> None:
        """Give connections up whose reply is overdue."""
        for link in self.links:
            link.check(now)
        for bell in self._bells:
            bell.check(now)

    def flush(self, now: float, spare: float) -> None:
        """Send what waits; connecting may take `spare` seconds."""
        for link in self.links:
            link.flush(now, spare)

    def wait_for_answer(self, seconds: float) -> None:
        """Wait until one of the calls under way is answered, for so long at most. Nobody else is heard meanwhile."""
        under_way = [link.wire.descriptor for link in self.links if link.busy and link.wire.connected]
        # Of all ways to wait only this one counts in microseconds.
        select.select([number for number in under_way if number < _SELECTABLE], (), (), seconds)

    def descriptors(self) -> list[int]:
        """Return the descriptors of all open connections."""
        wires = [link.wire for link in self.links] + [bell.wire for bell in self._bells]
        return [wire.descriptor for wire in wires if wire.connected]

    def _watch(self, wire: Wire, readable: Callable[[float], None]) -> None:
        def opened(descriptor: int) -> None:
            self._selector.register(descriptor, selectors.EVENT_READ, lambda mask: readable(time.monotonic()))

        wire.opened, wire.closed = opened, self._unwatch

    def _unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
