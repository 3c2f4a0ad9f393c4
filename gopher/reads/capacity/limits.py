"""What limits let start of what arrives and waits: those of types, and of tenants.

Jobs that wait for a limit need no process until it lets them start, and then only as many as it lets.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gopher.base.priorities import PRIORITIES
from gopher.base.salvage import Salvage, finite, order, text
from gopher.queue.keys import QueueKeys
from gopher.server.round_trips import ask_groups

from .service_times import ServiceTimes
from .staffing import INTERVAL

#: Limited types of a queue, and lists of tenants that have reached a limit, that are looked at.
_TYPES, _TENANTS = 500, 200
_FIELDS = ("rate", "burst", "concurrency", "paused", "held_until", "per_key")
#: Seconds: the least mean of a job's duration.
_SHORTEST = 1e-6


class TypeLimit(NamedTuple):
    """The limit of a type in a queue, infinite where there is none."""

    #: Starts per second, and more at once.
    rate: float = math.inf
    burst: float = math.inf
    #: Jobs at a time, and how many more may start now.
    concurrency: float = math.inf
    free: float = math.inf
    #: For how many seconds none starts: infinite while the type is paused.
    held_for: float = 0.0
    #: How many of its jobs are throttled, other than by keys.
    parked: int = 0
    #: Whether keys are limited or throttled, each on its own.
    has_keys: bool = False

    def bounded(self, waiting: int, arrivals: float, run: ServiceTimes, within: float) -> tuple[int, float]:
        """Return how many waiting jobs it lets start `within` (s), and how many more per second after them.

        Throttled jobs are among the latter: they come as fast as the limit lets them.
        """
        if self.held_for >= within:
            return 0, 0.0
        span, mean = within + INTERVAL, max(run.mean, _SHORTEST)
        by_slots = self.concurrency / mean
        starts = min(self.burst + self.rate * within, self.free + by_slots * within)
        waiting = waiting if waiting <= starts else math.floor(starts)
        rest = max(min(self.rate, by_slots) - waiting / span, 0.0)
        return waiting, min(arrivals + self.parked / span, rest)


class Limits(NamedTuple):
    """What is limited in a queue: types, and how many of its waiting jobs are of tenants that have reached a limit."""

    types: Mapping[str, TypeLimit]
    resting: int = 0


def read_limits(client: Any, queues: Sequence[QueueKeys], now: int) -> list[Limits]:
    """Return what is limited in each queue; `now` is the server's clock (ms)."""
    first = ask_groups(
        client,
        [
            [("SMEMBERS", keys.limited), ("SCARD", keys.resting), ("SRANDMEMBER", keys.resting, _TENANTS)]
            for keys in queues
        ],
    )
    names = [sorted(map(text, types or ()))[:_TYPES] for types, _, _ in first]
    lists = [[text(member).partition(":") for member in members or ()] for _, _, members in first]
    asked = [
        [
            *(words for name in of_queue for words in _questions(keys, name)),
            *(("LLEN", keys.pending_of(priority, tenant)) for priority, _, tenant in some),
        ]
        for keys, of_queue, some in zip(queues, names, lists, strict=True)
    ]
    each = len(PRIORITIES) + 3
    found = []
    for of_queue, (_, count, _), some, replies in zip(names, first, lists, ask_groups(client, asked), strict=True):
        rows = {name: replies[at * each : (at + 1) * each] for at, name in enumerate(of_queue)}
        jobs = sum(replies[len(of_queue) * each :])
        # Of more lists than were looked at, as many jobs each.
        resting = jobs * max(count, len(some)) // len(some) if some else 0
        found.append(Limits({name: _limit(row, now) for name, row in rows.items()}, resting))
    return found


def _questions(keys: QueueKeys, name: str) -> list[tuple[str, ...]]:
    return [
        ("HMGET", keys.limit(name), *_FIELDS),
        ("SCARD", keys.holding(name)),
        ("EXISTS", keys.held(name)),
        *(("LLEN", keys.parked(name, priority)) for priority in PRIORITIES),
    ]


def _limit(row: Sequence[Any], now: int) -> TypeLimit:
    """Return a limit by what the server says; without what can't be read of it."""
    (rate, burst, concurrency, paused, held_until, per_key), holding, has_held_keys, *parked = row
    held_for = math.inf if paused or _number(rate) == 0 else max(order(held_until) - now, 0) / 1000
    if per_key:
        return TypeLimit(held_for=held_for, has_keys=True)
    return TypeLimit(
        _number(rate),
        _number(burst),
        _number(concurrency),
        max(_number(concurrency) - holding, 0),
        held_for,
        sum(parked),
        bool(has_held_keys),
    )


def _number(value: bytes | None) -> float:
    return math.inf if value is None else Salvage().read("limit", lambda: finite(value), math.inf)
