"""What each hour of the week has needed, by the hourly samples of the last four weeks."""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from gopher.base.salvage import Salvage
from gopher.jobs.capacity import HourLoad
from gopher.queue.moves import SERIES
from gopher.queue.store import Server
from gopher.reads.histogram import growth
from gopher.reads.timeline import is_listed, rows_since
from gopher.server.errors import explained

from .service_times import ServiceTimes
from .staffing import rounded, spread_evenly

_STEP = SERIES[-1][0]
_WEEKS = 4 * 7 * 24 * _STEP
#: Queues whose samples are read, at most.
_QUEUES = 20
#: Seconds for which a process keeps what it has read.
_KEPT = 600.0


class _Sample(msgspec.Struct):
    """What is needed of a stored sample. An empty Lua table is an empty list."""

    at: int | float
    types: dict[str, Mapping[str, int]] | list[None]


class _Hour(NamedTuple):
    """An hour: when it began (ms), and its arrivals per second by type."""

    began: int
    rates: Mapping[str, float]


#: Server -> names of queues -> until when it is kept (monotonic s), and what was read.
_cache: WeakKeyDictionary[Server, dict[tuple[str, ...], tuple[float, list[_Hour]]]] = WeakKeyDictionary()


def hours_of_the_week(
    server: Server, queues: Sequence[str], times: Mapping[str, ServiceTimes], within: float, now: int
) -> list[HourLoad]:
    """Return the hours of the week that are known, from Monday 0:00 UTC on.

    Of more `queues` than are read, the first ones count.
    """
    uses: dict[str, tuple[float, float]] = {}
    needs: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for hour in _hours(server, tuple(sorted(queues[:_QUEUES])), now):
        for name in hour.rates:
            if name in times and name not in uses:
                uses[name] = times[name].within(within)
        needed = spread_evenly([(rate, *uses[name]) for name, rate in hour.rates.items() if name in uses], within)
        began = datetime.fromtimestamp(hour.began / 1000, UTC)
        needs.setdefault((began.weekday(), began.hour), []).append((sum(hour.rates.values()), needed))
    return [
        HourLoad(
            weekday,
            hour,
            round(math.fsum(rate for rate, _ in found) / len(found), 6),
            rounded(max(needed for _, needed in found)),
            len(found),
        )
        for (weekday, hour), found in sorted(needs.items())
    ]


def _hours(server: Server, queues: tuple[str, ...], now: int) -> list[_Hour]:
    kept = _cache.setdefault(server, {})
    until, hours = kept.get(queues, (0.0, []))
    if time.monotonic() >= until:
        hours = _read(server, queues, now)
        kept.clear()
        kept[queues] = (time.monotonic() + _KEPT, hours)
    return hours


def _read(server: Server, queues: Sequence[str], now: int) -> list[_Hour]:
    with explained():
        rows = rows_since(server, queues, _STEP, now - _WEEKS) if queues else []
    rates: dict[int, dict[str, float]] = {}
    for of_queue in rows:
        samples = [
            (int(slot), sample)
            for data, slot in of_queue
            if (sample := Salvage().read("", partial(_decode, data), None))
        ]
        for (began, before), (_, after) in pairwise(samples):
            seconds = (after.at - before.at) / 1000
            # Of a longer gap, nothing is known about its hours.
            if not 0 < seconds <= 1.5 * _STEP / 1000:
                continue
            counted = rates.setdefault(began, {})
            for name, count in _grown(before, after).items():
                counted[name] = counted.get(name, 0.0) + count / seconds
    return [_Hour(began, counted) for began, counted in sorted(rates.items())]


def _decode(data: bytes) -> _Sample:
    return msgspec.msgpack.decode(data, type=_Sample)


def _grown(before: _Sample, after: _Sample) -> dict[str, int]:
    old, new = (each.types if isinstance(each.types, dict) else {} for each in (before, after))
    return {
        name: sum(growth(counts.get(event, 0), old.get(name, {}).get(event, 0)) for event in ("enqueued", "retried"))
        for name, counts in new.items()
        if is_listed(name, old)
    }
