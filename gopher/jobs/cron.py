"""Times of cron expressions in any timezone: pure functions of Unix milliseconds.

Five fields, or six with the seconds first (`*/10 * * * * *`; see cron_fields.py), or `@hourly` and similar. Daylight
saving time is handled like in Debian's cron, as cronsim describes it:

* A clock-time expression, whose minute and hour do not start with `*` (`30 2 * * *`), fires once on each matching day:
  in a repeated hour the first time only, and if its minute is skipped, at the next one that exists.
* Every other expression (`*/15 * * * *`, `0 * * * *`) follows real time: it fires whenever the local time matches,
  in a repeated hour twice.

cronsim handles clock-time expressions only with five fields. We also do so with six: a schedule must not fire twice
because its time includes seconds. And where a clock changes by, or at, a fraction of an hour, cronsim skips existing
local times; we don't.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from gopher.errors import InvalidJob

from . import cron_fields
from .fire_times import FireTimes, Mark, at
from .interval import Interval, is_interval

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
#: Maximum number of characters.
_LONGEST = 100
#: Random (R) and hashed (H) values of other crons, which differ each time.
_RANDOM = re.compile(r"(^|[\s,])[rh]($|[\s,/(])", re.IGNORECASE)
#: Listed by tzdata, but not a place: its clock is unset.
_NO_ZONES = frozenset({"Factory"})

_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=20_000)
def cached_cron(expression: str, timezone: str) -> FireTimes:
    """Return the times of an expression in a timezone; the same one again is not validated again. Raises InvalidJob."""
    return fire_times(expression, timezone)


def fire_times(expression: str, timezone: str) -> FireTimes:
    """Return the times of a cron expression or an interval in a timezone. Raises InvalidJob."""
    return (Interval if is_interval(expression) else CronExpression)(expression, timezone)


class CronExpression(FireTimes):
    """A cron expression in a timezone. Raises InvalidJob (/cron_expression, /timezone) if invalid."""

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        super().__init__(expression, timezone)
        self._fields = _parsed(expression)
        _check_fires(self._fields, expression)

    def _next(self, moment: int) -> tuple[int, Mark]:
        return self._next_clock_time(moment) if self._fields.is_clock_time else self._next_real_time(moment)

    def _next_clock_time(self, moment: int) -> tuple[int, Mark]:
        # In local time, all minutes of a gap map to the moment after it, and those of a fold to the first occurrence.
        # So moments never decrease along it, and the first later one is the next.
        for wall in _walls(self._fields, _wall(moment, self._zone)):
            local = wall.replace(tzinfo=self._zone)
            instant = _ms(local)
            if _wall(instant, self._zone) != wall:
                instant = self._end_of_gap(wall)
                if instant > moment:
                    return instant, "gap"
            elif instant > moment:
                return instant, "fold" if local.utcoffset() != local.replace(fold=1).utcoffset() else ""
        raise AssertionError("an expression that has fired within the horizon fires again within it")

    def _end_of_gap(self, wall: datetime) -> int:
        """Return the first moment whose local time is later than `wall`, which does not exist."""
        # Interpreted with either offset, the two moments have the change between them.
        early, late = sorted(_ms(wall.replace(tzinfo=self._zone, fold=fold)) for fold in (0, 1))
        return self._first_change(early, late)

    def _next_real_time(self, moment: int) -> tuple[int, Mark]:
        while True:
            offset = at(moment, self._zone).utcoffset() or timedelta()
            wall = next(_walls(self._fields, _wall(moment, self._zone)))
            instant = _ms((wall - offset).replace(tzinfo=UTC))
            change = self._change_between(moment, instant)
            if change is None:
                local = at(instant, self._zone)
                ambiguous = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
                return instant, "fold" if ambiguous else ""
            # From this moment on the offset differs; the moment itself counts, too.
            moment = change - 1000
            if self._fits(change):
                return change, ""
            moment = change

    def _fits(self, moment: int) -> bool:
        wall = _wall(moment, self._zone)
        return next(_walls(self._fields, wall - _SECOND)) == wall

    def _change_between(self, start: int, end: int) -> int | None:
        """Return the first moment in (start, end] at which the offset changes, or None."""
        offset = at(start, self._zone).utcoffset()
        while start < end:
            stop = min(start + 86_400_000, end)
            if at(stop, self._zone).utcoffset() != offset:
                return self._first_change(start, stop)
            start = stop
        return None

    def _first_change(self, start: int, end: int) -> int:
        """Return the moment in (start, end] at which the offset changes from that of `start` (whole seconds)."""
        offset = at(start, self._zone).utcoffset()
        low, high = start // 1000, -(-end // 1000)
        while high - low > 1:
            middle = (low + high) // 2
            if at(middle * 1000, self._zone).utcoffset() == offset:
                low = middle
            else:
                high = middle
        return high * 1000


def check(expression: str, timezone: str) -> None:
    """Raise InvalidJob (/cron_expression, /timezone) for what a new schedule can't have.

    That is more than what CronExpression rejects: schedules of earlier versions continue to fire.
    """
    fire_times(expression, timezone)
    if timezone not in _zones():
        raise InvalidJob(
            f"is {timezone!r:.60}: differs from host to host; expected an IANA name such as Europe/Berlin", "/timezone"
        )
    if is_interval(expression):
        return
    try:
        cron_fields.check_steps(expand(expression))
    except ValueError as error:
        raise _bad(expression, str(error)) from None


@cache
def _zones() -> frozenset[str]:
    """Return the names of zones that exist on every host.

    A host may have others, such as `localtime`, `posixrules` and `right/...`.
    """
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split()) - _NO_ZONES


def _parsed(expression: str) -> cron_fields.Fields:
    try:
        return cron_fields.parse(expand(expression))
    except ValueError as error:
        raise _bad(expression, str(error)) from None


def expand(expression: str) -> str:
    """Return the five or six fields of an expression, separated by spaces."""
    text = " ".join(expression.split())
    if text.startswith("@"):
        if text.lower() not in _ALIASES:
            raise _bad(expression, f"expected one of {', '.join(_ALIASES)}")
        return _ALIASES[text.lower()]
    if len(text) > _LONGEST:
        raise _bad(expression, f"is longer than {_LONGEST} characters")
    if len(text.split()) not in (5, 6):
        raise _bad(expression, "expected 5 fields (minute hour day month weekday), or 6 with the seconds first")
    if _RANDOM.search(text):
        raise _bad(expression, "R and H are random: use fixed values")
    return text


def _bad(expression: str, why: str) -> InvalidJob:
    return InvalidJob(f"is {expression!r:.120}: {why}", "/cron_expression")


def _check_fires(fields: cron_fields.Fields, expression: str) -> None:
    if fields.after(datetime(2024, 1, 1)) is None:  # noqa: DTZ001 - a wall's time has no zone
        raise _bad(expression, "never fires")


def _walls(fields: cron_fields.Fields, start: datetime) -> Iterator[datetime]:
    """Yield the times of an expression strictly after `start` on a clock without daylight saving time."""
    wall = fields.after(start)
    while wall is not None:
        yield wall
        wall = fields.after(wall)


def _wall(moment: int, zone: ZoneInfo) -> datetime:
    return at(moment, zone).replace(tzinfo=None, fold=0)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
