"""The connections of an event loop: pipelines and blocking pops.

There is one pipeline to a server, and in a cluster one per slot in use: slots can move separately, and an unavailable
node does not delay calls to others.
"""

import select
import selectors
import time
from collections.abc import Callable, Iterable
from functools import partial

from .blocking_pop import BlockingPop
from .executor import Executor
from .loop_connection import Connection
from .pipeline import Pipeline

#: `select` supports only descriptors below this.
_SELECTABLE = 1024


class EventLoop:
    """Creates pipelines and blocking pops and registers them with the selector, which calls its data with events.

    While it is `sharing`, a pipeline and the blocking pops to the same server reuse each other's connections when those
    have no calls in flight: an idle worker needs the pipeline only between two blocking pops.
    """

    def __init__(self, server: Executor, selector: selectors.BaseSelector) -> None:
        self._server = server
        self._selector = selector
        self._pipelines: dict[object, Pipeline] = {}
        self._blocking_pops: list[BlockingPop] = []
        self._watch_of_master = server.pools.watch_in(selector)
        self.sharing = False

    @property
    def pipelines(self) -> Iterable[Pipeline]:
        return self._pipelines.values()

    def pipeline_to(self, key: str) -> Pipeline:
        """Return the pipeline to the server of `key`; keys that are always on the same node share it."""
        place = self._server.pools.place_of(key)
        pipeline = self._pipelines.get(place)
        if pipeline is None:
            pipeline = self._pipelines[place] = Pipeline(self._server, key)
            pipeline.connection.reusable = partial(self._idle_pop_at, place)
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
        blocking_pop.connection.reusable = partial(self._idle_pipeline_at, self._server.pools.place_of(key))
        self._blocking_pops.append(blocking_pop)
        return blocking_pop

    def _idle_pop_at(self, place: object) -> Connection | None:
        for pop in self._blocking_pops if self.sharing else ():
            if pop.connection.connected and not pop.waiting and self._server.pools.place_of(pop.key) == place:
                return pop.connection
        return None

    def _idle_pipeline_at(self, place: object) -> Connection | None:
        pipeline = self._pipelines.get(place) if self.sharing else None
        return pipeline.connection if pipeline and pipeline.connection.connected and pipeline.idle else None

    @property
    def is_between_pops(self) -> bool:
        """Whether a blocking pop has ended, and the next one has not started."""
        return any(not pop.waiting for pop in self._blocking_pops)

    def close_spare(self) -> None:
        """Close the connection of the pipeline if it can use those of the blocking pops.

        Not in a cluster with blocking pops on several slots: each ends at another time, and shares with one pipeline.
        """
        places = {self._server.pools.place_of(pop.key) for pop in self._blocking_pops}
        pipeline = self._pipelines.get(places.pop()) if len(places) == 1 else None
        if pipeline and pipeline.idle and all(pop.connection.connected for pop in self._blocking_pops):
            pipeline.connection.close()

    def remove(self, blocking_pop: BlockingPop) -> None:
        """Close a blocking pop."""
        blocking_pop.close()
        self._blocking_pops.remove(blocking_pop)

    def check(self, now: float) -> None:
        """Close connections whose reply is overdue, and those to a demoted master."""
        if self._watch_of_master is not None:
            self._watch_of_master.tick(now)
        for pipeline in self.pipelines:
            pipeline.check(now)
        for blocking_pop in self._blocking_pops:
            blocking_pop.check(now)

    def wake_at(self) -> float:
        """Return when to `check` or `flush` again (monotonic s)."""
        watch = self._watch_of_master.wake_at() if self._watch_of_master is not None else float("inf")
        return min([watch, *(pipeline.wake_at() for pipeline in self.pipelines)])

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
        watch = self._watch_of_master.descriptors() if self._watch_of_master is not None else []
        return [connection.descriptor for connection in self._connections() if connection.connected] + watch

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
