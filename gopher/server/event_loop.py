"""The connections of an event loop: pipelines, blocking pops, and who reads them.

There is one pipeline to a server, and in a cluster one a slot in use: slots move apart, and a node that is away keeps
no calls to others waiting.
"""

import select
import selectors
import time
from collections.abc import Callable, Iterable

from .blocking_pop import BlockingPop
from .executor import Executor
from .loop_connection import Connection
from .pipeline import Pipeline

#: Descriptors below this are those that `select` takes.
_SELECTABLE = 1024


class EventLoop:
    """Makes pipelines and blocking pops that the selector watches. A selector's data is called with the event mask."""

    def __init__(self, server: Executor, selector: selectors.BaseSelector) -> None:
        self._server = server
        self._selector = selector
        self._pipelines: dict[object, Pipeline] = {}
        self._blocking_pops: list[BlockingPop] = []

    @property
    def pipelines(self) -> Iterable[Pipeline]:
        return self._pipelines.values()

    def pipeline_to(self, key: str) -> Pipeline:
        """Return the pipeline to where `key` is; keys that always lie together share it."""
        place = self._server.pools.place_of(key)
        pipeline = self._pipelines.get(place)
        if pipeline is None:
            pipeline = self._pipelines[place] = Pipeline(self._server, key)
            self._watch(pipeline.connection, pipeline.readable)
        return pipeline

    def forget(self, key: str) -> None:
        """Close the pipeline to where `key` is, when it was for this key alone."""
        place = self._server.pools.place_of(key)
        pipeline = self._pipelines.get(place)
        if place is not None and pipeline is not None and pipeline.key == key:
            self._pipelines.pop(place).connection.close()

    def close_unused(self, keys: Iterable[str]) -> None:
        """Close pipelines that are idle and have none of `keys`: in a cluster those to queues that were forgotten."""
        places = {self._server.pools.place_of(key) for key in keys}
        for place, pipeline in list(self._pipelines.items()):
            if place not in places and pipeline.idle:
                self._pipelines.pop(place).connection.close()

    def blocking_pop(self, key: str, readable: Callable[[BlockingPop, float], None]) -> BlockingPop:
        """Return a blocking pop on the node that holds `key`; `readable` is told when it has something to read."""
        blocking_pop = BlockingPop(self._server, key)
        self._watch(blocking_pop.connection, lambda now: readable(blocking_pop, now))
        self._blocking_pops.append(blocking_pop)
        return blocking_pop

    def remove(self, blocking_pop: BlockingPop) -> None:
        """Let a blocking pop go."""
        blocking_pop.close()
        self._blocking_pops.remove(blocking_pop)

    def check(self, now: float) -> None:
        """Give connections up whose reply is overdue."""
        for pipeline in self.pipelines:
            pipeline.check(now)
        for blocking_pop in self._blocking_pops:
            blocking_pop.check(now)

    def flush(self, now: float, spare: float) -> None:
        """Send what waits; connecting may take `spare` seconds."""
        for pipeline in self.pipelines:
            pipeline.flush(now, spare)

    def wait_for_answer(self, seconds: float) -> None:
        """Wait until one of the calls under way is answered, for so long at most. Nobody else is heard meanwhile."""
        under_way = [
            pipeline.connection.descriptor
            for pipeline in self.pipelines
            if pipeline.busy and pipeline.connection.connected
        ]
        # Of all ways to wait only this one counts in microseconds.
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
        """Have all try at once: each pauses for a while, and the first that is answered calls the others."""
        for connection in self._connections():
            connection.hurry()

    def _unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
