"""Waits for alarms, by which the server wakes a scheduler when something is due earlier."""

from collections.abc import Callable

from gopher.server.blocking_pop import BlockingPop
from gopher.server.calls import Command
from gopher.server.event_loop import EventLoop

#: Timeout of BLPOP in seconds. Proxies in front of managed servers close connections that are idle for 30 s.
BLOCK = 20


class Alarms:
    """Blocks on the alarm lists: on one connection, or in a cluster on one for each list."""

    def __init__(self, event_loop: EventLoop, *, one_each: bool) -> None:
        self._event_loop = event_loop
        self._one_each = one_each
        self._callbacks: dict[str, Callable[[], None]] = {}
        self._blocking_pops: list[tuple[BlockingPop, list[str]]] = []

    def add(self, key: str, callback: Callable[[], None]) -> None:
        """Call `callback` whenever something is pushed to the list `key`."""
        self._callbacks[key] = callback
        if self._one_each or not self._blocking_pops:
            self._blocking_pops.append((self._event_loop.blocking_pop(key, self._popped), [key]))
        else:
            # The next `listen` includes it. The current one continues: interrupting it could lose an alarm, so that all
            # queues would have to be checked for each new one.
            self._blocking_pops[0][1].append(key)

    def remove(self, key: str) -> None:
        """Wait no longer on the list `key`."""
        del self._callbacks[key]
        for place, (blocking_pop, keys) in enumerate(self._blocking_pops):
            if key in keys:
                keys.remove(key)
                if not keys:
                    self._event_loop.remove(blocking_pop)
                    del self._blocking_pops[place]
                return

    def listen(self, now: float, spare: float) -> None:
        for blocking_pop, keys in self._blocking_pops:
            blocking_pop.wait([Command(keys[0], ("BLPOP", *keys, BLOCK))], BLOCK, now, spare)

    def wake_at(self) -> float:
        return min(blocking_pop.connection.wake_at() for blocking_pop, _ in self._blocking_pops)

    def _popped(self, blocking_pop: BlockingPop, now: float) -> None:
        (popped,) = blocking_pop.readable(now) or (None,)
        if isinstance(popped, list):
            # It may be one that was removed.
            self._callbacks.get(popped[0].decode(), _nothing)()
        elif not blocking_pop.connection.connected:
            self._ring(next(keys for each, keys in self._blocking_pops if each is blocking_pop))

    def _ring(self, keys: list[str]) -> None:
        """Trigger all alarms: one may have been popped and lost with the connection."""
        for key in keys:
            self._callbacks[key]()


def _nothing() -> None:
    pass
