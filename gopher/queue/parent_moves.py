"""The moves of jobs that wait for jobs of other queues, or for batches."""

from collections.abc import Callable, Sequence
from typing import Any

from gopher.server.calls import Call

#: Milliseconds for which a job may still be stored that jobs of another queue wait for: both may be submitted together.
_STORED_WITHIN = 60_000


class ParentMoves:
    """The part of `Queue` that `after` across queues uses."""

    def _call(self, verb: str, arguments: Sequence[Any], read: Callable[[Any], Any]) -> Call:
        raise NotImplementedError

    def follow(self, queue: str, parents: Sequence[tuple[str, int]]) -> Call:
        """Have jobs or batches here tell a queue how they end: (id, when that was asked for in ms) (follow.lua).

        The reply has the indexes of those that may still be stored.
        """
        flat = [each for parent in parents for each in parent]
        return self._call("follow", (queue, _STORED_WITHIN, *flat), lambda reply: [int(each) - 1 for each in reply])

    def release_children(self, parent: str, state: str, result: str, kept_for: int) -> Call:
        """Notify jobs that wait for a job of another queue, which has ended (release_children.lua): a count."""
        return self._call("release_children", (parent, state, result, kept_for), int)
