"""Sends the limits declared by handlers to the server, until it has accepted them."""

from collections.abc import Iterable
from functools import partial

from gopher.jobs.handlers import Handler
from gopher.queue.moves import Queue
from gopher.server.pipeline import Pipeline


class DeclaredLimits:
    """The declared limits of a queue; operators' limits take precedence."""

    def __init__(self, queue: Queue, pipeline: Pipeline, handlers: Iterable[Handler]) -> None:
        self._queue = queue
        self._pipeline = pipeline
        self._limits = {handler.name: handler.limit for handler in handlers if handler.limit is not None}
        #: Types whose limits have to be sent.
        self._due = set(self._limits)

    def declare(self) -> None:
        """Send all limits."""
        self._due = set(self._limits)
        self.declare_refused()

    def declare_refused(self) -> None:
        """Send rejected limits again."""
        due, self._due = self._due, set()
        for name in sorted(due):
            call = self._queue.set_limit(name, *self._limits[name], origin="handler")
            self._pipeline.add(call, partial(self._take_answer, name))

    def _take_answer(self, name: str, reply: object) -> None:
        if isinstance(reply, Exception):
            self._due.add(name)
