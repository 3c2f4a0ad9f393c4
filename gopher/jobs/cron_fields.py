"""The fields of a cron expression: parses them, and finds the next matching time on a clock without daylight saving.

As in Debian's cron: `*`, values, ranges, steps, lists, names of months and weekdays, and 0 or 7 for Sunday. If both day
of month and day of week are restricted, a day has to match either of them; if one of them starts with `*` (also as in
`*/2`), it has to match both.

In addition to that: `?` for `*` in either field of days, `10/15` for 10 to the end of the field, ranges that continue
at the start of the field (`22-2`, `fri-mon`), `L` (the last day of the month), `15W` (the weekday nearest to the 15th),
`fri#2` (the second Friday), `L5` or `5L` (the last Friday).
"""

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterable
from datetime import MAXYEAR, datetime, timedelta
from typing import NamedTuple

#: Years within which an expression has to fire: a 29 February that must be a Sunday (`0 0 29 2 */7`) occurs every 28
#: years, and across 2100 after 40.
HORIZON = 41
_SECOND = timedelta(seconds=1)
_SUNDAY, _SATURDAY = 0, 6
#: In place of the n of `fri#n`.
_LAST = -1


class Field(NamedTuple):
    """A field, its first and last value, and names of its values from the first one on."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.last - self.first + 1


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = _SECOND_FIELD, _MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, _MONTHS),
    Field("weekday", 0, 6, _WEEKDAYS),
)

_VALUE = "[0-9]+|[a-z]+"
_RANGE = re.compile(rf"(?P<first>\*|{_VALUE})(?:-(?P<last>{_VALUE}))?(?:/(?P<step>[0-9]+))?")
_TO_THE_LAST_DAY = re.compile("-l(?=/|$)")
_NEAREST = re.compile("w([0-9]+)|([0-9]+)w")
_LAST_WEEKDAY = re.compile(rf"l({_VALUE})|({_VALUE})l")
_NUMBERED = re.compile(rf"((?:{_VALUE})(?:-(?:{_VALUE}))?)#([1-5])")


class Days(NamedTuple):
    """The days of months that match. Weekdays count from Sunday, 0."""

    days: frozenset[int]
    weekdays: frozenset[int]
    #: Whether the last day of a month matches.
    last: bool
    #: Days of which the nearest weekday matches.
    nearest: frozenset[int]
    #: (weekday, n): the n-th of a month; the last one with _LAST.
    numbered: frozenset[tuple[int, int]]
    #: Whether a day has to match only one of the two fields.
    either: bool

    def of_month(self, year: int, month: int) -> list[int]:
        """Return the matching days of a month in order."""
        monday_based, length = monthrange(year, month)
        first = (monday_based + 1) % 7
        by_day = self.days | {nearest_weekday(day, length, first) for day in self.nearest}
        if self.last:
            by_day |= {length}
        by_weekday = {day for day in range(1, length + 1) if self._has_weekday(day, length, (first + day - 1) % 7)}
        found = by_day | by_weekday if self.either else by_day & by_weekday
        return sorted(day for day in found if day <= length)

    def _has_weekday(self, day: int, length: int, weekday: int) -> bool:
        if weekday in self.weekdays or not self.numbered:
            return weekday in self.weekdays
        return (weekday, (day + 6) // 7) in self.numbered or (day > length - 7 and (weekday, _LAST) in self.numbered)


def nearest_weekday(day: int, length: int, first: int) -> int:
    """Return the day from Monday to Friday that is nearest to `day`, in a month of `length` days.

    `first` is the weekday of its first day. A day that the month does not have counts as its last one.
    """
    day = min(day, length)
    weekday = (first + day - 1) % 7
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


class Fields(NamedTuple):
    """The matching values of each field, in order."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    days: Days
    #: Whether neither minute nor hour starts with `*`.
    is_clock_time: bool

    def after(self, wall: datetime) -> datetime | None:
        """Return the first matching time after `wall`; None if there is none within the horizon."""
        start = (wall + _SECOND).replace(microsecond=0)
        for year in range(start.year, min(start.year + HORIZON, MAXYEAR) + 1):
            for month in range(start.month if year == start.year else 1, 13):
                if month in self.months:
                    found = self._in_month(year, month, start)
                    if found is not None:
                        return found
        return None

    def _in_month(self, year: int, month: int, start: datetime) -> datetime | None:
        """Return the first matching time of a month that is not before `start`."""
        is_first = (year, month) == (start.year, start.month)
        for day in self.days.of_month(year, month):
            if is_first and day <= start.day:
                time = self._time_from(start) if day == start.day else None
                if time is not None:
                    return datetime(year, month, day, *time)  # noqa: DTZ001 - a clock's time has no zone
            else:
                return datetime(year, month, day, self.hours[0], self.minutes[0], self.seconds[0])  # noqa: DTZ001
        return None

    def _time_from(self, start: datetime) -> tuple[int, int, int] | None:
        """Return the first matching time of day that is not before that of `start`."""
        for hour in self.hours[bisect_left(self.hours, start.hour) :]:
            if hour > start.hour:
                return hour, self.minutes[0], self.seconds[0]
            for minute in self.minutes[bisect_left(self.minutes, start.minute) :]:
                if minute > start.minute:
                    return hour, minute, self.seconds[0]
                at = bisect_left(self.seconds, start.second)
                if at < len(self.seconds):
                    return hour, minute, self.seconds[at]
        return None


def parse(text: str) -> Fields:
    """Parse five fields, or six with the seconds first. Raises ValueError, naming the field."""
    *seconds, minute, hour, day, month, weekday = text.lower().split()
    return Fields(
        seconds=_ordered(_SECOND_FIELD, *seconds) if seconds else (0,),
        minutes=_ordered(_MINUTE, minute),
        hours=_ordered(_HOUR, hour),
        months=frozenset(_ordered(_MONTH, month)),
        days=_days("*" if day == "?" else day, "*" if weekday == "?" else weekday),
        is_clock_time=not minute.startswith("*") and not hour.startswith("*"),
    )


def check_steps(text: str) -> None:
    """Raise ValueError for a step that is longer than its field, such as `*/90` in minutes, which is every hour."""
    parts = text.lower().split()
    for field, part in zip(_FIELDS[-len(parts) :], parts, strict=True):
        for element in part.split(","):
            step = element.partition("/")[2]
            if step and int(step) > field.size:
                raise ValueError(f"the step of {element!r} is too long: a {field.name} has {field.size} values")


def _days(day: str, weekday: str) -> Days:
    days, nearest, weekdays, numbered = set[int](), set[int](), set[int](), set[tuple[int, int]]()
    for element in day.split(","):
        if found := _NEAREST.fullmatch(element):
            nearest.add(_value(_DAY, found[1] or found[2]))
        elif element != "l":
            days.update(_range(_DAY, _TO_THE_LAST_DAY.sub(f"-{_DAY.last}", element)))
    for element in weekday.split(","):
        if found := _NUMBERED.fullmatch(element):
            numbered.update((each, int(found[2])) for each in _range(_WEEKDAY, found[1]))
        elif found := _LAST_WEEKDAY.fullmatch(element):
            numbered.add((_value(_WEEKDAY, found[1] or found[2]) % _WEEKDAY.size, _LAST))
        else:
            weekdays.update(_range(_WEEKDAY, element))
    return Days(
        days=frozenset(days),
        weekdays=frozenset(weekdays),
        last="l" in day.split(","),
        nearest=frozenset(nearest),
        numbered=frozenset(numbered),
        either=not day.startswith("*") and not weekday.startswith("*"),
    )


def _ordered(field: Field, text: str) -> tuple[int, ...]:
    """Return the values of a field in order."""
    return tuple(sorted({value for element in text.split(",") for value in _range(field, element)}))


def _range(field: Field, text: str) -> Iterable[int]:
    """Yield the values of one element of a list, such as `5`, `*/15`, `9-17` or `22-2/2`."""
    found = _RANGE.fullmatch(text)
    if found is None or (found["first"] == "*" and found["last"]):
        raise ValueError(f"{text!r} is not a {field.name}")
    step = int(found["step"] or 1)
    if not step:
        raise ValueError(f"the step of {text!r} is 0")
    if found["first"] == "*":
        first, last = field.first, field.last
    else:
        first = _value(field, found["first"])
        last = _value(field, found["last"]) if found["last"] else field.last if found["step"] else first
    if last < first:
        last += field.size
    return ((value - field.first) % field.size + field.first for value in range(first, last + 1, step))


def _value(field: Field, text: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.first
    # 7 is Sunday, too.
    last = field.last + (field is _WEEKDAY)
    if not text.isdigit():
        raise ValueError(f"{text!r} is not a {field.name}")
    if not field.first <= int(text) <= last:
        raise ValueError(f"{field.name} {text} is out of range: expected {field.first} to {last}")
    return int(text)
