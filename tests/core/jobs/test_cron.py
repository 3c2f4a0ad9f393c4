"""Cron expressions: what is accepted, and when they fire across changes of the clock."""

import itertools
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from gopher.errors import InvalidJob
from gopher.jobs.cron import CronExpression, cached_cron, check

ZONES = (
    "Europe/Berlin Europe/London America/New_York America/Santiago America/Sao_Paulo America/Havana America/St_Johns "
    "America/Asuncion Australia/Lord_Howe Pacific/Auckland Pacific/Chatham Pacific/Apia Asia/Tehran Asia/Gaza "
    "Asia/Beirut Asia/Amman Africa/Casablanca Africa/Cairo Antarctica/Troll Europe/Chisinau"
).split()


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@cache
def changes(zone: str) -> list[datetime]:
    """Every change of a zone's offset from 2000 to 2040, to six hours."""
    found, moment, step = [], datetime(2000, 1, 1, tzinfo=UTC), timedelta(hours=6)
    info = ZoneInfo(zone)
    before = moment.astimezone(info).utcoffset()
    while moment.year <= 2040:
        after = (moment + step).astimezone(info).utcoffset()
        if before != after:
            found.append(moment)
        moment, before = moment + step, after
    return found


@cache
def changes_on_the_hour() -> list[tuple[str, datetime]]:
    """Every change, with its zone, whose wall times before and after it are whole hours.

    At the others (Lord Howe, the Chathams, St John's and Gaza when they changed at 00:01) cronsim, which steps by whole
    hours, passes over times that the wall does show, or comes to no end. The test by the minute holds us in these.
    """
    return [(zone, change) for zone in ZONES for change in changes(zone) if _is_on_the_hour(change, ZoneInfo(zone))]


def _is_on_the_hour(change: datetime, info: ZoneInfo) -> bool:
    walls = ((change + timedelta(minutes=minute)).astimezone(info) for minute in range(6 * 60 + 1))
    before, after = next(pair for pair in itertools.pairwise(walls) if pair[0].utcoffset() != pair[1].utcoffset())
    return before.minute == 59 and after.minute == 0


def fires(expression: str, zone: str, start: datetime, end: datetime) -> list[int]:
    between = CronExpression(expression, zone).fires_between
    return between(round(start.timestamp() * 1000), round(end.timestamp() * 1000), 10_000)


def fires_of_the_oracle(expression: str, zone: str, start: datetime, end: datetime) -> list[int]:
    found = []
    for moment in CronSim(expression, start.astimezone(ZoneInfo(zone))):
        if moment.timestamp() > end.timestamp():
            return found
        found.append(round(moment.timestamp() * 1000))
    raise AssertionError("CronSim has no end")


@pytest.mark.parametrize("zone", ZONES)
def test_a_clock_time_fires_as_debians_cron_at_every_change_of_the_clock(zone: str) -> None:
    for number, change in enumerate(changes(zone)):
        # Another time at each change: together they cover the hours around it.
        expression = f"{number * 7 % 60} {number % 5} * * *"
        start, end = change - timedelta(hours=30), change + timedelta(hours=40)
        expected = fires_of_the_oracle(expression, zone, start, end)
        assert fires(expression, zone, start, end) == expected, (zone, change, expression)


@settings(max_examples=60, deadline=None)
@given(
    where=st.deferred(lambda: st.sampled_from(changes_on_the_hour())),
    minute=st.sampled_from(["0", "30", "59", "0,30", "15-45/10", "*/15", "*"]),
    hour=st.sampled_from(["0", "1", "2", "3", "1-3", "0,2", "*/2", "*", "23"]),
)
def test_any_expression_fires_as_the_oracle_says_around_a_change(
    where: tuple[str, datetime], minute: str, hour: str
) -> None:
    zone, change = where
    start, end = change - timedelta(hours=12), change + timedelta(hours=12)
    expression = f"{minute} {hour} * * *"
    assert fires(expression, zone, start, end) == fires_of_the_oracle(expression, zone, start, end)


@pytest.mark.parametrize("zone", ZONES)
def test_any_other_expression_fires_whenever_the_wall_fits_at_every_change_of_the_clock(zone: str) -> None:
    info = ZoneInfo(zone)
    for number, change in enumerate(changes(zone)):
        step, hours = (7, 10, 15, 25)[number % 4], {(number + further) % 24 for further in range(0, 24, 5)}
        expression = f"*/{step} {','.join(map(str, sorted(hours)))} * * *"
        minutes = [change + timedelta(minutes=minute) for minute in range(-180, 541)]
        walls = [(moment, moment.astimezone(info)) for moment in minutes[1:]]
        fit = [moment for moment, wall in walls if wall.minute % step == 0 and wall.hour in hours]
        found = fires(expression, zone, minutes[0], minutes[-1])
        assert found == [round(moment.timestamp() * 1000) for moment in fit], (zone, change, expression)


def test_a_clock_time_to_the_second_fires_once_a_day_too() -> None:
    for start in ("2026-03-28T12:00:00+00:00", "2026-10-24T12:00:00+00:00"):
        with_seconds, without = (
            CronExpression(expression, "Europe/Berlin").preview(ms(start), 4)
            for expression in ("0 30 2 * * *", "30 2 * * *")
        )
        assert with_seconds == without


@pytest.mark.parametrize("start", ["2026-03-28T23:00:00+00:00", "2026-10-24T22:00:00+00:00"])
def test_every_hour_to_the_second_follows_real_time_too(start: str) -> None:
    for expression in ("0 * * * *", "0 0 * * * *"):
        times = CronExpression(expression, "Europe/Berlin").fires_between(ms(start), ms(start) + 5 * 3_600_000, 100)
        assert times == [ms(start) + number * 3_600_000 for number in range(1, 6)]


def test_a_time_that_the_clock_skips_fires_at_the_next_valid_minute() -> None:
    row = CronExpression("30 2 * * *", "Europe/Berlin").preview(ms("2026-03-28T12:00:00+00:00"), 1)[0]
    assert row == ("2026-03-29T01:00:00.000Z", "2026-03-29T03:00:00+02:00", "gap")


def test_a_time_that_comes_twice_fires_the_first_time_only() -> None:
    rows = CronExpression("30 2 * * *", "Europe/Berlin").preview(ms("2026-10-24T12:00:00+00:00"), 2)
    assert [(row.local, row.mark) for row in rows] == [
        ("2026-10-25T02:30:00+02:00", "fold"),
        ("2026-10-26T02:30:00+01:00", ""),
    ]


def test_every_quarter_of_an_hour_follows_real_time_through_both_changes() -> None:
    for day in ("2026-03-28T23:00:00+00:00", "2026-10-24T22:00:00+00:00"):
        times = CronExpression("*/15 * * * *", "Europe/Berlin").fires_between(ms(day), ms(day) + 5 * 3_600_000, 100)
        assert {after - before for before, after in itertools.pairwise(times)} == {15 * 60_000}


def test_nothing_is_passed_over_when_the_clock_changes_by_half_an_hour() -> None:
    start = ms("2020-04-04T14:00:00+00:00")
    local = [row.local for row in CronExpression("*/15 2 * * *", "Australia/Lord_Howe").preview(start, 4)]
    assert local == [f"2020-04-05T02:{minute}:00+10:30" for minute in ("00", "15", "30", "45")]


def test_seconds_come_first_when_there_are_six_fields() -> None:
    times = CronExpression("*/20 30 * * * *").fires_between(ms("2026-01-01T00:00:00+00:00"), 2**52, 3)
    assert [datetime.fromtimestamp(time / 1000, UTC).strftime("%M:%S") for time in times] == ["30:00", "30:20", "30:40"]


@pytest.mark.parametrize(
    ("alias", "first"),
    [
        ("@hourly", "2026-01-01T01:00:00.000Z"),
        ("@daily", "2026-01-02T00:00:00.000Z"),
        ("@weekly", "2026-01-04T00:00:00.000Z"),
        ("@monthly", "2026-02-01T00:00:00.000Z"),
        ("@yearly", "2027-01-01T00:00:00.000Z"),
    ],
)
def test_names_for_common_schedules_are_known(alias: str, first: str) -> None:
    assert CronExpression(alias).preview(ms("2026-01-01T00:00:00+00:00"), 1)[0].utc == first


def test_a_leap_day_is_waited_for() -> None:
    assert CronExpression("0 0 29 2 *").preview(ms("2026-01-01T00:00:00+00:00"), 1)[0].utc.startswith("2028-02-29")


@pytest.mark.parametrize("minute", ["0", "*/30"])
@pytest.mark.parametrize("day", ["29 2 */7", "29 2 */4", "29 2 mon#5", "29W 2 */4", "*/31 2 1", "* 2 tue#5"])
def test_an_expression_that_is_accepted_never_comes_to_an_end(minute: str, day: str) -> None:
    cron = CronExpression(f"{minute} 0 {day}", "Europe/Berlin")
    moment = ms("2026-01-01T00:00:00+00:00")
    # Across 2100, which has no 29 February.
    while moment < ms("2150-01-01T00:00:00+00:00"):
        moment = cron.next_after(moment + 86_400_000)


def test_a_preview_ends_after_a_hundred_years() -> None:
    rows = CronExpression("0 0 29 2 */7").preview(ms("2026-01-01T00:00:00+00:00"), 1000)
    assert [row.utc[:10] for row in rows] == ["2032-02-29", "2060-02-29", "2088-02-29"]


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    which=st.integers(0, 1000),
    expression=st.sampled_from(["30 2 * * *", "*/7 * * * *", "0,1 1-3 * * *", "*/20 5 1 * * *", "0 0 1 * *"]),
    seconds=st.integers(0, 3 * 86_400),
)
def test_the_last_time_is_the_one_that_walking_on_ends_at(zone: str, which: int, expression: str, seconds: int) -> None:
    change = changes(zone)[which % len(changes(zone))]
    cron = CronExpression(expression, zone)
    known = cron.next_after(round((change - timedelta(days=1)).timestamp() * 1000))
    now = known + seconds * 1000
    last = [known, *cron.fires_between(known, now, 10_000)][-1]
    assert cron.last_until(now, known) == cron.last_until(last, known) == last


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("0 0 31 2 *", "never fires"),
        ("0 0 30 2 *", "never fires"),
        ("R R * * *", "R and H"),
        ("H 4 * * *", "R and H"),
        ("@reboot", "@hourly"),
        ("* * * *", "5 fields"),
        ("* * * * * * *", "5 fields"),
        ("61 * * * *", "out of range"),
        ("every day", "5 fields"),
        ("", "5 fields"),
        ("* " * 60, "100 characters"),
    ],
)
def test_refuses_what_never_fires_or_is_not_a_time(expression: str, word: str) -> None:
    with pytest.raises(InvalidJob, match=word) as refused:
        CronExpression(expression)
    assert refused.value.field == "/cron_expression"


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "Europe", "../UTC", "europe/berlin", "", "UTC\0", "Z" * 5000, "+01:00"]
)
def test_refuses_a_timezone_that_is_not_there(name: str) -> None:
    with pytest.raises(InvalidJob, match="Europe/Berlin") as refused:
        check("@daily", name)
    assert refused.value.field == "/timezone"


HOSTS_OWN = ["localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin", "SystemV/EST5"]


@pytest.mark.parametrize("name", HOSTS_OWN)
def test_refuses_a_timezone_that_differs_from_host_to_host(name: str) -> None:
    with pytest.raises(InvalidJob, match="Europe/Berlin") as refused:
        check("@daily", name)
    assert refused.value.field == "/timezone"


@pytest.mark.parametrize("name", [*ZONES, "UTC", "GMT", "Etc/GMT+5", "US/Eastern", "EST5EDT", "Asia/Kathmandu"])
def test_takes_every_name_of_the_timezone_database(name: str) -> None:
    check("30 2 * * *", name)


@pytest.mark.parametrize("step", ["*/90 * * * *", "0 */25 * * *", "0 0 */32 * *", "0 0 1 */13 *", "0 0 * * 1-5/8"])
def test_refuses_a_step_that_is_longer_than_its_field(step: str) -> None:
    with pytest.raises(InvalidJob, match="too long") as refused:
        check(step, "UTC")
    assert refused.value.field == "/cron_expression"


def test_a_step_as_long_as_its_field_is_its_first_value() -> None:
    check("0 */60 */24 */31 */12 */7", "UTC")


def test_schedules_of_earlier_versions_continue_to_fire() -> None:
    assert CronExpression("*/90 * * * *", "Factory").fires_between(0, 3_600_000, 9) == [3_600_000]


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("every 45 minutes", 2700), ("every 45m", 2700), ("@every 90s", 90), ("every minute", 60),
        ("every 2 weeks", 1209600), ("EVERY 1 hour 30 minutes", 5400), ("every 1h30m", 5400),
    ],
)  # fmt: skip
def test_an_interval_fires_at_equal_distances_whatever_clocks_do(expression: str, seconds: int) -> None:
    check(expression, "Europe/Berlin")
    # Across the night in which clocks are set back.
    start = ms("2026-10-24T12:00:00+00:00")
    times = cached_cron(expression, "Europe/Berlin").fires_between(start, 2**52, 50)
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {seconds * 1000}
    assert start < times[0] <= start + seconds * 1000
    assert not times[0] % (seconds * 1000)


def test_an_interval_is_previewed_and_made_up_for_like_an_expression() -> None:
    every = cached_cron("every 45 minutes", "Europe/Berlin")
    start = ms("2026-01-01T00:00:00+00:00")
    assert [row.local for row in every.preview(start, 2)] == ["2026-01-01T01:45:00+01:00", "2026-01-01T02:30:00+01:00"]
    assert every.last_until(start + 5 * 3_600_000, start) == start + 6 * 45 * 60_000
    assert every.period_after(start) == 45 * 60_000


@pytest.mark.parametrize(
    "expression", ["every", "every 500ms", "every 0s", "every 999 days", "every two hours", "@every -5m", "every 1.5s"]
)
def test_refuses_what_is_not_an_interval(expression: str) -> None:
    with pytest.raises(InvalidJob, match="every 45 minutes") as refused:
        check(expression, "UTC")
    assert refused.value.field == "/cron_expression"
