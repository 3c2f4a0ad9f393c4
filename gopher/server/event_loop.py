"""The connections of an event loop: links, bells, and who reads them.

There is one link to a server, and in a cluster one a slot in use: slots move apart, and a node that is away keeps no
calls to others waiting.
"""

import select
import selectors
import time
from collections.abc import Callable, Iterable

from .executor import Executor
from .pipeline import Bell, Link, Wire

#: Descriptors below this are those that `select` takes.
_SELECTABLE = 1024


class Wires:
    """Makes links and bells that the selector watches. A selector's data is called with the event mask."""

    def __init__(self, server: Executor, selector: selectors.BaseSelector) -> None:
        self._server = server
        self._selector = selector
        self._links: dict[object, Link] = {}
        self._bells: list[Bell] = []

    @property
    def links(self) -> Iterable[Link]:
        return self._links.values()

    def link_to(self, key: str) -> Link:
        """Return the link to where `key` is; keys that always lie together share it."""
        place = self._server.pools.place_of(key)
        link = self._links.get(place)
        if link is None:
            link = self._links[place] = Link(self._server, key)
            self._watch(link.wire, link.readable)
        return link

    def forget(self, key: str) -> None:
        """Close the link to where `key` is, when it was for this key alone."""
        place = self._server.pools.place_of(key)
        link = self._links.get(place)
        if place is not None and link is not None and link.key == key:
            self._links.pop(place).wire.close()

    def close_unused(self, keys: Iterable[str]) -> None:
        """Close links that are idle and have none of `keys`: in a cluster those to queues that were forgotten."""
        places = {self._server.pools.place_of(key) for key in keys}
        for place, link in list(self._links.items()):
            if place not in places and link.idle:
                self._links.pop(place).wire.close()

    def bell(self, key: str, readable: Callable[[Bell, float], None]) -> Bell:
        """Return a bell on the node that holds `key`; `readable` is told when it has something to read."""
        bell = Bell(self._server, key)
        self._watch(bell.wire, lambda now: readable(bell, now))
        self._bells.append(bell)
        return bell

    def remove(self, bell: Bell) -> None:
        """Let a bell go."""
        bell.close()
        self._bells.remove(bell)

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
        return [wire.descriptor for wire in self._wires() if wire.connected]

    def _wires(self) -> list[Wire]:
        return [link.wire for link in self.links] + [bell.wire for bell in self._bells]

    def _watch(self, wire: Wire, readable: Callable[[float], None]) -> None:
        def opened(descriptor: int) -> None:
            self._selector.register(descriptor, selectors.EVENT_READ, lambda mask: readable(time.monotonic()))

        wire.opened, wire.closed, wire.recovered = opened, self._unwatch, self._hurry

    def _hurry(self) -> None:
        """Have all try at once: each pauses for a while, and the first that is answered calls the others."""
        for wire in self._wires():
            wire.hurry()

    def _unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
