"""Times of cron expressions in any timezone: pure functions of Unix milliseconds, based on croniter.

Five fields, or six with the seconds first (`*/10 * * * * *`), or `@hourly` and similar. Daylight saving time is handled
like in Debian's cron, as cronsim describes it:

* A clock-time expression, whose minute and hour do not start with `*` (`30 2 * * *`), fires once on each matching day:
  in a repeated hour the first time only, and if its minute is skipped, at the next one that exists.
* Every other expression (`*/15 * * * *`, `0 * * * *`) follows real time: it fires whenever the local time matches,
  in a repeated hour twice.

cronsim handles clock-time expressions only with five fields. We also do so with six: a schedule must not fire twice
because its time includes seconds. And where a clock changes by, or at, a fraction of an hour, cronsim skips existing
local times; we don't.

croniter is only used for clocks without daylight saving time; its own handling fires twice in a fold.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, CroniterError, croniter

from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob

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
#: croniter's random (R) and hashed (H) values, which differ each time.
_RANDOM = re.compile(r"(^|[\s,])[rh]($|[\s,/(])", re.IGNORECASE)
#: Years within which an expression has to fire: a 29 February that must be a Sunday (`0 0 29 2 */7`) occurs every 28
#: years, and across 2100 after 40.
_HORIZON = 41
#: Maximum range of a preview, in milliseconds: a hundred years.
_PREVIEW = 36_525 * 86_400_000

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Fire(NamedTuple):
    """A time at which an expression fires. `mark` is set if daylight saving time shifted it or made it ambiguous."""

    utc: str
    local: str
    mark: Literal["", "gap", "fold"]


class CronExpression:
    """A cron expression in a timezone. Raises InvalidJob (/cron_expression, /timezone) if invalid."""

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self.expression = expression
        self.timezone = timezone
        self._zone = _zone(timezone)
        self._fields = _fields(expression)
        minute, hour = self._fields.split()[-5:-3]
        self._clock_time = not minute.startswith("*") and not hour.startswith("*")
        _check_fires(self._fields, expression)

    def next_after(self, moment: int) -> int:
        """Return the first time strictly after `moment` (Unix ms)."""
        return self._next(moment)[0]

    def fires_between(self, after: int, until: int, limit: int) -> list[int]:
        """Return the times after `after` up to `until`, oldest first, at most `limit`."""
        found: list[int] = []
        while len(found) < limit and (after := self.next_after(after)) <= until:
            found.append(after)
        return found

    def last_until(self, moment: int, known: int) -> int:
        """Return the last time up to `moment`: at least `known`, an earlier one."""
        # The next time never decreases as the moment increases, so bisection finds it in about 40 steps.
        low, high = known, moment
        while low < high:
            middle = (low + high) // 2
            fire = self.next_after(middle)
            if fire <= moment:
                low = fire
            else:
                high = middle
        return low

    def period_after(self, moment: int) -> int:
        """Return the milliseconds between the next two times after `moment`."""
        first = self.next_after(moment)
        return self.next_after(first) - first

    def preview(self, after: int, count: int) -> list[Fire]:
        """Return the next `count` times within a hundred years, in UTC and local time."""
        rows: list[Fire] = []
        end = after + _PREVIEW
        while len(rows) < count:
            after, mark = self._next(after)
            if after > end:
                break
            local = _at(after, self._zone).isoformat(timespec="seconds")
            rows.append(Fire(to_rfc3339(after), local, mark))
        return rows

    def _next(self, moment: int) -> tuple[int, Literal["", "gap", "fold"]]:
        return self._next_clock_time(moment) if self._clock_time else self._next_real_time(moment)

    def _next_clock_time(self, moment: int) -> tuple[int, Literal["", "gap", "fold"]]:
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

    def _next_real_time(self, moment: int) -> tuple[int, Literal["", "gap", "fold"]]:
        while True:
            offset = _at(moment, self._zone).utcoffset() or timedelta()
            wall = next(_walls(self._fields, _wall(moment, self._zone)))
            instant = _ms((wall - offset).replace(tzinfo=UTC))
            change = self._change_between(moment, instant)
            if change is None:
                local = _at(instant, self._zone)
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
        offset = _at(start, self._zone).utcoffset()
        while start < end:
            stop = min(start + 86_400_000, end)
            if _at(stop, self._zone).utcoffset() != offset:
                return self._first_change(start, stop)
            start = stop
        return None

    def _first_change(self, start: int, end: int) -> int:
        """Return the moment in (start, end] at which the offset changes from that of `start` (whole seconds)."""
        offset = _at(start, self._zone).utcoffset()
        low, high = start // 1000, -(-end // 1000)
        while high - low > 1:
            middle = (low + high) // 2
            if _at(middle * 1000, self._zone).utcoffset() == offset:
                low = middle
            else:
                high = middle
        return high * 1000


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise InvalidJob(f"is {name!r:.60}: expected an IANA name such as Europe/Berlin", "/timezone") from None


def _fields(expression: str) -> str:
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


def _check_fires(fields: str, expression: str) -> None:
    try:
        next(_walls(fields, datetime(2024, 1, 1)))  # noqa: DTZ001 - a wall's time has no zone
    except StopIteration:
        raise _bad(expression, "never fires") from None
    except (CroniterError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _bad(expression, str(error)[:200]) from None


def _walls(fields: str, start: datetime) -> Iterator[datetime]:
    """Yield the times of an expression strictly after `start` on a clock without daylight saving time."""
    iterator = croniter(
        fields,
        start.replace(tzinfo=UTC),
        second_at_beginning=True,
        max_years_between_matches=_HORIZON,
        implement_cron_bug=True,
    )
    while True:
        try:
            yield iterator.get_next(datetime).replace(tzinfo=None)
        except CroniterBadDateError:
            return


def _at(moment: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(moment / 1000, UTC).astimezone(zone)


def _wall(moment: int, zone: ZoneInfo) -> datetime:
    return _at(moment, zone).replace(tzinfo=None, fold=0)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
