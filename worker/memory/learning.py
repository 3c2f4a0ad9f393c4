"""Asks the server what jobs have needed, in all workers: at the start, then now and then for those that are here."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from gopher.worker.queue_side.served_queue import ServedQueue

from gopher.base.salvage import UNREADABLE, order, text
from gopher.server.calls import Command

from .sizes import Sizes

#: Seconds between two questions about a type, if it is known here, and if it is not.
_KNOWN, _UNKNOWN = 300.0, 5.0


class Learning:
    """Keeps `Sizes` up to date."""

    def __init__(self, sizes: Sizes, queues: Mapping[str, ServedQueue]) -> None:
        self._sizes = sizes
        self._queues = queues
        #: When each type was asked for (monotonic s).
        self._asked: dict[str, float] = {}

    def ask(self, types: Iterable[str], now: float) -> None:
        """Ask about those types that were not asked for recently."""
        for name in types:
            pause = _KNOWN if self._sizes.knows(name) else _UNKNOWN
            if now - self._asked.get(name, float("-inf")) < pause:
                continue
            self._asked[name] = now
            for served in self._queues.values():
                key = served.queue.keys.latencies(name)
                served.fetcher.pipeline.add(Command(key, ("HGETALL", key)), partial(self._take, served.name, name))

    def _take(self, queue: str, job_type: str, reply: Any) -> None:
        if isinstance(reply, Exception):
            return
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[0::2], reply[1::2], strict=False)
        with suppress(*UNREADABLE):
            self._sizes.take(queue, job_type, {text(field): order(count) for field, count in pairs})
