"""The answer for metrics: kept for a while, in proportion to what it took, since several scrapers may ask for it."""

import time
from weakref import WeakKeyDictionary

from gopher.jobs.capacity import Capacity
from gopher.jobs.lists import CapacityFilter
from gopher.queue.store import Server
from gopher.reads.jobs import Inspector

from . import capacity

#: For how many times as long as it took it is kept, and the most seconds: with few queues it is always a new one.
_TIMES, _LONGEST = 50, 20.0
#: Of each server: until when (monotonic s) which answer is kept.
_kept: WeakKeyDictionary[Server, tuple[float, Capacity]] = WeakKeyDictionary()


def recent_capacity(server: Server, inspector: Inspector) -> Capacity:
    """Return how many processes and workers are needed, or were a few seconds ago, without the hours of the week."""
    until, found = _kept.get(server, (0.0, None))
    began = time.monotonic()
    if found is None or began >= until:
        found = capacity(server, inspector, CapacityFilter(), hours=False)
        now = time.monotonic()
        _kept[server] = (now + min(_TIMES * (now - began), _LONGEST), found)
    return found
