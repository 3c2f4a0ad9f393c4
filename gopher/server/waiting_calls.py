"""Limits how many calls wait for an unresponsive node of a cluster, so that calls to other nodes find a thread."""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from gopher.errors import QueueUnavailable


class WaitingCalls:
    """Counts the calls that are being retried, by node. Threads may share it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: Counter[Hashable] = Counter()

    @contextmanager
    def call_to(self, node: Hashable) -> Iterator[Callable[[], bool]]:
        """Yield a function that returns whether this call may be retried.

        Raises QueueUnavailable if the maximum number are being retried: another one would only occupy a thread.
        """
        if self._waiting and self._waiting[node] >= self._limit:
            raise QueueUnavailable("the node is unreachable, and other calls are waiting for it")
        joined = False

        def may_wait() -> bool:
            nonlocal joined
            joined = joined or self._join(node)
            return joined

        try:
            yield may_wait
        finally:
            if joined:
                self._leave(node)

    def _join(self, node: Hashable) -> bool:
        with self._lock:
            if self._waiting[node] >= self._limit:
                return False
            self._waiting[node] += 1
            return True

    def _leave(self, node: Hashable) -> None:
        with self._lock:
            self._waiting[node] -= 1
            if not self._waiting[node]:
                del self._waiting[node]
