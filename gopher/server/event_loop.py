"""The connections of an event loop: pipelines and blocking pops.

There is one pipeline to a server, and in a cluster one per slot in use: slots can move separately, and an unavailable
node does not delay calls to others.
"""

import select
import selectors
import time
from collections.abc import Callable, Iterable

from .blocking_pop import BlockingPop
from .executor import Executor
from .loop_connection import Connection
from .pipeline import Pipeline

#: `select` supports only descriptors below this.
_SELECTABLE = 1024


class EventLoop:
    """Creates pipelines and blocking pops and registers them with the selector, which calls its data with events."""

    def __init__(self, server: Executor, selector: selectors.BaseSelector) -> None:
        self._server = server
        self._selector = selector
        self._pipelines: dict[object, Pipeline] = {}
        self._blocking_pops: list[BlockingPop] = []

    @property
    def pipelines(self) -> Iterable[Pipeline]:
        return self._pipelines.values()

    def pipeline_to(self, key: str) -> Pipeline:
        """Return the pipeline to the server of `key`; keys that are always on the same node share it."""
        place = self._server.pools.place_of(key)
        pipeline = self._pipelines.get(place)
        if pipeline is None:
            pipeline = self._pipelines[place] = Pipeline(self._server, key)
            self._watch(pipeline.connection, pipeline.readable)
        return pipeline

    def forget(self, key: str) -> None:
        """Close the pipeline to the server of `key` if no other key uses it."""
        place = self._server.pools.place_of(key)
        pipeline = self._pipelines.get(place)
        if place is not None and pipeline is not None and pipeline.key == key:
            self._pipelines.pop(place).connection.close()

    def close_unused(self, keys: Iterable[str]) -> None:
        """Close idle pipelines without any of `keys`: in a cluster, those to removed queues."""
        places = {self._server.pools.place_of(key) for key in keys}
        for place, pipeline in list(self._pipelines.items()):
            if place not in places and pipeline.idle:
                self._pipelines.pop(place).connection.close()

    def blocking_pop(self, key: str, readable: Callable[[BlockingPop, float], None]) -> BlockingPop:
        """Return a blocking pop on the node of `key`; `readable` is called when it has something to read."""
        blocking_pop = BlockingPop(self._server, key)
        self._watch(blocking_pop.connection, lambda now: readable(blocking_pop, now))
        self._blocking_pops.append(blocking_pop)
        return blocking_pop

    def remove(self, blocking_pop: BlockingPop) -> None:
        """Close a blocking pop."""
        blocking_pop.close()
        self._blocking_pops.remove(blocking_pop)

    def check(self, now: float) -> None:
        """Close connections whose reply is overdue."""
        for pipeline in self.pipelines:
            pipeline.check(now)
        for blocking_pop in self._blocking_pops:
            blocking_pop.check(now)

    def flush(self, now: float, spare: float) -> None:
        """Send queued calls; connecting may take `spare` seconds."""
        for pipeline in self.pipelines:
            pipeline.flush(now, spare)

    def wait_for_answer(self, seconds: float) -> None:
        """Wait for the reply to a call in flight, at most `seconds`. Other events are not handled meanwhile."""
        under_way = [
            pipeline.connection.descriptor
            for pipeline in self.pipelines
            if pipeline.busy and pipeline.connection.connected
        ]
        # Only `select` has a timeout in microseconds.
        select.select([number for number in under_way if number < _SELECTABLE], (), (), seconds)

    def descriptors(self) -> list[int]:
        """Return the descriptors of all open connections."""
        return [connection.descriptor for connection in self._connections() if connection.connected]

    def _connections(self) -> list[Connection]:
        return [pipeline.connection for pipeline in self.pipelines] + [
            blocking_pop.connection for blocking_pop in self._blocking_pops
        ]

    def _watch(self, connection: Connection, readable: Callable[[float], None]) -> None:
        def opened(descriptor: int) -> None:
            self._selector.register(descriptor, selectors.EVENT_READ, lambda mask: readable(time.monotonic()))

        connection.opened, connection.closed, connection.recovered = opened, self._unwatch, self._hurry

    def _hurry(self) -> None:
        """Make all connections retry now: the first one that gets a reply triggers the others."""
        for connection in self._connections():
            connection.hurry()

    def _unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
