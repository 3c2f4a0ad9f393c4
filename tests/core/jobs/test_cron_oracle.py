"""Cron expressions against an implementation of the documented rules that looks at every minute there is.

It shares nothing with ours: it knows neither sets of values nor next times, and finds out the fixed times of day as
Debian's cron does, which walks along with the clock on the wall. GOPHER_TEST_CRON is how many expressions are made up
(`make fuzz`: 10,000).
"""

import calendar
import os
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from gopher.errors import InvalidJob
from gopher.jobs.cron import CronExpression
from gopher.jobs.cron_fields import parse

EXPRESSIONS = int(os.environ.get("GOPHER_TEST_CRON", "1000"))
#: Expressions for each window of time, and how many times of each are compared.
OF_A_WINDOW, FIRES = 250, 40
WINDOW = timedelta(days=150)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Pacific/Chatham"),
    *("Africa/Casablanca", "America/St_Johns", "Asia/Kolkata", "Antarctica/Troll", "Pacific/Apia"),
)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEKDAYS = "sun mon tue wed thu fri sat".split()
#: First and last value, and names from the first one on.
FIELDS = {
    "second": (0, 59, []),
    "minute": (0, 59, []),
    "hour": (0, 23, []),
    "day": (1, 31, []),
    "month": (1, 12, MONTHS),
    "weekday": (0, 6, WEEKDAYS),
}


def number(text: str, field: str) -> int:
    first, _, names = FIELDS[field]
    return names.index(text.lower()) + first if text.lower() in names else int(text)


def matches(field: str, text: str, value: int) -> bool:
    """Return whether a value matches a field: walk through each element of the list, one value after the other."""
    return any(value in walk(field, element) for element in text.split(","))


@cache
def walk(field: str, element: str) -> list[int]:
    first, last, _ = FIELDS[field]
    span, _, step = element.partition("/")
    if span == "*":
        begin, end = first, last
    elif "-" in span:
        begin, end = (number(each, field) for each in span.split("-"))
    else:
        begin = number(span, field)
        end = last if step else begin
    if begin <= end:
        walked = list(range(begin, end + 1))
    else:
        # 7 is Sunday, as 0 is.
        begin = 0 if (field, begin) == ("weekday", 7) else begin
        walked = [begin]
        while walked[-1] != end:
            walked.append(first if walked[-1] == last else walked[-1] + 1)
    return [value % 7 if field == "weekday" else value for value in walked[:: int(step or 1)]]


def day_matches(text: str, when: date) -> bool:
    length = calendar.monthrange(when.year, when.month)[1]
    for element in text.lower().split(","):
        if element == "?":
            return True
        if element == "l":
            found = when.day == length
        elif element.endswith("w"):
            found = when == nearest_weekday(when.replace(day=min(int(element[:-1]), length)))
        else:
            found = matches("day", element.replace("-l", "-31"), when.day)
        if found:
            return True
    return False


def nearest_weekday(wanted: date) -> date:
    of_month = [wanted + timedelta(days=days) for days in (0, -1, 1, -2, 2)]
    return next(day for day in of_month if day.month == wanted.month and day.isoweekday() <= 5)


def weekday_matches(text: str, when: date) -> bool:
    weekday = when.isoweekday() % 7
    for element in text.lower().split(","):
        if element == "?":
            return True
        if "#" in element:
            days, _, nth = element.partition("#")
            earlier = [when - timedelta(weeks=weeks) for weeks in range(1, 6)]
            found = (
                matches("weekday", days, weekday) and sum(day.month == when.month for day in earlier) == int(nth) - 1
            )
        elif element != "jul" and element.strip("l") != element:
            is_last = (when + timedelta(weeks=1)).month != when.month
            found = is_last and number(element.strip("l"), "weekday") % 7 == weekday
        else:
            found = matches("weekday", element, weekday)
        if found:
            return True
    return False


def date_matches(expression: str, when: date) -> bool:
    day, month, weekday = expression.split()[-3:]
    if not matches("month", month, when.month):
        return False
    if day[0] in "*?" or weekday[0] in "*?":
        return day_matches(day, when) and weekday_matches(weekday, when)
    return day_matches(day, when) or weekday_matches(weekday, when)


class Window:
    """What the clock of a zone shows, step by step."""

    def __init__(self, zone: str, start: datetime, length: timedelta = WINDOW, step: timedelta = MINUTE) -> None:
        self.zone, self.start, self.end = zone, start, start + length
        #: (date, hour, [(moment, minute, second)]): as time goes by, and as Debian's cron looks at times of day, with
        #: those that the clock leaves out when it shows the next one, and those that it repeats left out.
        self.real: list[tuple[date, int, list[tuple[int, int, int]]]] = []
        self.clock: list[tuple[date, int, list[tuple[int, int, int]]]] = []
        info, moment = ZoneInfo(zone), start
        seen = start.astimezone(info).replace(tzinfo=None)
        while moment < self.end:
            moment += step
            wall = moment.astimezone(info).replace(tzinfo=None, fold=0)
            stamp = round(moment.timestamp() * 1000)
            note(self.real, stamp, wall)
            while seen < wall:
                seen += step
                note(self.clock, stamp, seen)

    def fires(self, expression: str) -> Iterator[int]:
        *seconds, minute, hour = expression.split()[:-3]
        second = seconds[0] if seconds else "0"
        last, day, is_day = 0, date.min, False
        for when, at, shown in self.real if minute[0] == "*" or hour[0] == "*" else self.clock:
            if when != day:
                day, is_day = when, date_matches(expression, when)
            if is_day and matches("hour", hour, at):
                for stamp, of_hour, of_minute in shown:
                    fits = matches("minute", minute, of_hour) and matches("second", second, of_minute)
                    if fits and stamp != last:
                        last = stamp
                        yield stamp


def note(hours: list[tuple[date, int, list[tuple[int, int, int]]]], stamp: int, wall: datetime) -> None:
    if not hours or (hours[-1][0], hours[-1][1]) != (wall.date(), wall.hour):
        hours.append((wall.date(), wall.hour, []))
    hours[-1][2].append((stamp, wall.minute, wall.second))


class Maker:
    """Makes up expressions; the same seed makes the same ones."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def expression(self, *, seconds: bool = False) -> str:
        fields = [self._list("minute"), self._list("hour"), self._day(), self._list("month", "*"), self._weekday()]
        return " ".join([self._list("second"), *fields] if seconds else fields)

    def _list(self, field: str, usual: str = "") -> str:
        if usual and self._chance.random() < 0.6:
            return usual
        return ",".join(self._element(field) for _ in range(self._chance.choice((1, 1, 1, 2, 3))))

    def _element(self, field: str) -> str:
        first, last, _ = FIELDS[field]
        one, two = self._value(field), self._value(field)
        step = self._chance.randint(1, min(last - first + 1, 12))
        kinds = (one, one, "*", f"*/{step}", f"{one}-{two}", f"{one}-{two}", f"{one}-{two}/{step}", f"{one}-{one}")
        return self._chance.choice((*kinds, f"{one}/{step}"))

    def _value(self, field: str) -> str:
        first, last, names = FIELDS[field]
        value = self._chance.randint(first, last + (field == "weekday"))
        if names and self._chance.random() < 0.4:
            return self._chance.choice((str.lower, str.upper))(names[(value - first) % len(names)])
        return f"{value:02}" if self._chance.random() < 0.1 else str(value)

    def _day(self) -> str:
        if self._chance.random() < 0.4:
            return self._chance.choice("***?")
        special = self._chance.choice(("L", f"{self._value('day')}W", f"{self._value('day')}-L", ""))
        if self._chance.random() < 0.3 and special:
            return self._chance.choice((special, f"{special},{self._element('day')}"))
        return self._list("day")

    def _weekday(self) -> str:
        if self._chance.random() < 0.4:
            return self._chance.choice("***?")
        one, two = self._value("weekday"), self._value("weekday")
        nth = self._chance.randint(1, 5)
        special = self._chance.choice((f"{one}#{nth}", f"{one}-{two}#{nth}", f"{one}L", f"L{one}"))
        if self._chance.random() < 0.4:
            return self._chance.choice((special, f"{self._element('weekday')},{special}"))
        return self._list("weekday")


def compare(window: Window, expression: str) -> bool:
    """Compare the first times in a window; return whether there are any."""
    expected = list(islice(window.fires(expression), FIRES))
    start, end = (round(moment.timestamp() * 1000) for moment in (window.start, window.end))
    try:
        found = CronExpression(expression, window.zone).fires_between(start, end, FIRES)
    except InvalidJob as error:
        found = [] if error.details.endswith("never fires") else [str(error)]
    assert found == expected, (expression, window.zone, window.start, shown(found), shown(expected))
    return bool(found)


def shown(stamps: list) -> list[str]:
    return [
        str(stamp) if isinstance(stamp, str) else datetime.fromtimestamp(stamp / 1000, UTC).isoformat()
        for stamp in stamps
    ]


def test_random_expressions_fire_as_the_rules_say_minute_by_minute() -> None:
    chance, firing = random.Random(20261129), 0
    for _ in range(EXPRESSIONS // OF_A_WINDOW):
        start = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(20 * 365 * 1440))
        window, maker = Window(chance.choice(ZONES), start), Maker(chance)
        firing += sum(compare(window, maker.expression()) for _ in range(OF_A_WINDOW))
    # Most of them say something.
    assert firing > EXPRESSIONS * 0.5


def change_of(zone: str, year: int) -> datetime:
    """Return the last hour before the clock of a zone changes in a year."""
    info, moment = ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC)
    while moment.astimezone(info).utcoffset() == (moment + timedelta(hours=1)).astimezone(info).utcoffset():
        moment += timedelta(hours=1)
    return moment


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"])
@pytest.mark.parametrize("year", [2010, 2011])
def test_random_expressions_fire_as_the_rules_say_around_changes_of_the_clock(zone: str, year: int) -> None:
    chance = random.Random(f"{zone} {year}")
    change, maker = change_of(zone, year), Maker(chance)
    window = Window(zone, change - timedelta(hours=20), timedelta(hours=60))
    for _ in range(EXPRESSIONS // 20):
        # Of every day, else few fall on this one.
        compare(window, " ".join([*maker.expression().split()[:2], "*", "*", "*"]))
    window = Window(zone, change - timedelta(hours=1), timedelta(hours=4), SECOND)
    for _ in range(EXPRESSIONS // 50):
        compare(window, " ".join([*maker.expression(seconds=True).split()[:3], "*", "*", "*"]))


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        # Ranges with equal ends are one value.
        ("0 9-9 * * *", "2026-01-01T09:00 2026-01-02T09:00"),
        ("5-5 * * * *", "2026-01-01T00:05 2026-01-01T01:05"),
        ("0 0 * * 3-3", "2026-01-07T00:00 2026-01-14T00:00"),
        ("0 0 1 6-6 *", "2026-06-01T00:00 2027-06-01T00:00"),
        ("0 0 * * 7-0", "2026-01-04T00:00 2026-01-11T00:00"),
        ("0 0 * * sun-7/7", "2026-01-04T00:00 2026-01-11T00:00"),
        ("59/15 * * * *", "2026-01-01T00:59 2026-01-01T01:59"),
        # Ranges that continue at the start of the field, with steps counted through.
        ("0 22-4/3 * * *", "2026-01-01T01:00 2026-01-01T04:00 2026-01-01T22:00"),
        ("50-10/20 * * * *", "2026-01-01T00:10 2026-01-01T00:50 2026-01-01T01:10"),
        ("0 0 * * fri-mon/2", "2026-01-02T00:00 2026-01-04T00:00 2026-01-09T00:00"),
        ("0 0 1 nov-mar/2 *", "2026-01-01T00:00 2026-03-01T00:00 2026-11-01T00:00"),
        # Either of the days, also with # and L.
        ("0 0 13 * 5#1", "2026-01-02T00:00 2026-01-13T00:00 2026-02-06T00:00"),
        ("0 0 1,15 * L5", "2026-01-01T00:00 2026-01-15T00:00 2026-01-30T00:00"),
        ("0 0 1,15 * 5L", "2026-01-01T00:00 2026-01-15T00:00 2026-01-30T00:00"),
        ("0 0 L * mon#2", "2026-01-12T00:00 2026-01-31T00:00 2026-02-09T00:00"),
        ("0 0 13 * 5", "2026-01-02T00:00 2026-01-09T00:00 2026-01-13T00:00"),
        ("0 0 * * mon,fri#2", "2026-01-05T00:00 2026-01-09T00:00 2026-01-12T00:00"),
        # Both of them if one starts with *.
        ("0 0 */2 * 5#1", "2026-04-03T00:00 2026-05-01T00:00"),
        ("0 0 13 * */5", "2026-02-13T00:00 2026-03-13T00:00"),
    ],
)
def test_an_expression_fires_at_these_times(expression: str, times: str) -> None:
    rows = CronExpression(expression).preview(round(datetime(2025, 12, 31, 23, 59, tzinfo=UTC).timestamp() * 1000), 3)
    found = " ".join(row.utc[:16] for row in rows)
    assert found.startswith(times)


@pytest.mark.parametrize(
    "text", ["1-2-3", "*-5", "5/0", "/5", "5/", "-", "1,,2", ",", "l5-6", "mon-5x", "+1", "\u0661"]
)
@pytest.mark.parametrize("at", range(5))
def test_text_that_is_no_list_of_ranges_is_no_field(text: str, at: int) -> None:
    fields = ["*"] * 5
    fields[at] = text
    with pytest.raises(ValueError, match=r"is not a |is 0|out of range"):
        parse(" ".join(fields))
