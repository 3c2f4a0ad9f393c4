"""The limits that handlers declare of their own types: told to the server until it has heard of them."""

from functools import partial

from gopher.jobs.handlers import Registry
from gopher.queue.moves import Queue
from gopher.server.pipeline import Pipeline


class DeclaredLimits:
    """Those of one queue; what an operator has set stands."""

    def __init__(self, queue: Queue, pipeline: Pipeline, registry: Registry) -> None:
        self._queue = queue
        self._pipeline = pipeline
        self._limits = {handler.name: handler.limit for handler in registry if handler.limit is not None}
        #: Types of which the server is to be told.
        self._due = set(self._limits)

    def declare(self) -> None:
        """Tell the server of all."""
        self._due = set(self._limits)
        self.declare_refused()

    def declare_refused(self) -> None:
        """Tell it again of those that it has refused to hear of."""
        due, self._due = self._due, set()
        for name in sorted(due):
            call = self._queue.set_limit(name, *self._limits[name], origin="handler")
            self._pipeline.add(call, partial(self._take_answer, name))

    def _take_answer(self, name: str, reply: object) -> None:
        if isinstance(reply, Exception):
            self._due.add(name)
