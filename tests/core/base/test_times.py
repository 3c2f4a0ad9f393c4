"""Times: RFC 3339 outside, Unix milliseconds inside, and nothing that is read but can't be shown."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gopher.base.times import FIRST, LAST, from_rfc3339, submitted_time, to_rfc3339


@given(some.integers(FIRST, LAST))
def test_what_is_shown_is_read_again(milliseconds):
    assert from_rfc3339(to_rfc3339(milliseconds)) == milliseconds


@given(some.integers(FIRST + 2 * 86_400_000, LAST - 2 * 86_400_000), some.integers(-1439, 1439))
def test_every_offset_is_taken(milliseconds, ahead):
    sign, minutes = ("-" if ahead < 0 else "+"), abs(ahead)
    local = to_rfc3339(milliseconds).removesuffix("Z")
    assert from_rfc3339(f"{local}{sign}{minutes // 60:02}:{minutes % 60:02}") == milliseconds - ahead * 60_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00.000Z"),
        ("2026-11-24t08:00:00.5z", "2026-11-24T08:00:00.500Z"),
        ("2026-11-24 08:00:00+01:00", "2026-11-24T07:00:00.000Z"),
        ("2026-06-30T23:59:60Z", "2026-07-01T00:00:00.000Z"),
        ("2027-01-01t01:59:60.25+02:00", "2027-01-01T00:00:00.250Z"),
        ("2026-12-31T20:29:60-03:30", "2027-01-01T00:00:00.000Z"),
        ("2026-11-24T08:00:00-00:00", "2026-11-24T08:00:00.000Z"),
        ("2026-11-24T08:00:00." + "1" * 5000 + "Z", "2026-11-24T08:00:00.111Z"),
        ("2026-11-24T08:00:00.999999999999Z", "2026-11-24T08:00:01.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_reads_what_rfc_3339_allows(text, shown):
    assert to_rfc3339(from_rfc3339(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:59.9999Z",
            "0000-01-01T00:00:00Z",
        ),
        *("2026-W50-3T10:00:00Z", "2026-343T10:00:00Z", "20261124T080000Z", "2025-10-01🦫10:00:00Z", "2026-11-24T08Z"),
        *("2026-11-24T08:00:00", "2026-11-24T08:00:00,5Z", "2026-11-24T08:00:00+05:30:15", "2026-11-24T08:00:00+0530"),
        *("2026-11-24T08:00:00+24:00", "2026-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T08:60:00Z"),
        *("2026-11-24T08:00Z", "2026-11-24T08:00:60Z", "2026-12-31T23:59:60+01:00", "2026-11-24T08:00:61Z"),
        *("2026-11-24T08:00:00.Z", "2026-11-24T08:00:00 Z", "2026-11-24  08:00:00Z", "2026-11-24\t08:00:00Z"),
        *("2026-11-24T08:00:00+05", "2026-11-24T08:00:00Z+01:00", "2026-11-24T08:00:00\u221201:00", "2026-11-24T08.5Z"),
        *("2026-11-24_08:00:00Z", "2026-11-24T8:00:00Z", "26-11-24T08:00:00Z", "2026-11-24T08:00:00+01:60", "0"),
        *(
            "",
            "now",
            "٢٠٢٦-11-24T08:00:00Z",
            "2026-11-24T08:00:00Z\n",
            "12026-11-24T08:00:00Z",
            "+2026-11-24T08:00:00Z",
        ),
    ],
)
def test_refuses_what_rfc_3339_does_not_know_or_can_not_write_in_utc(text):
    with pytest.raises(ValueError):  # noqa: PT011 - whichever it is, the caller's message says what is expected
        from_rfc3339(text)


@pytest.mark.parametrize("value", [FIRST - 1, LAST + 1, float("nan"), float("inf"), float("-inf"), 10**400, -1e300])
def test_what_can_not_be_shown_is_a_value_error(value):
    with pytest.raises(ValueError, match="years 1 to 9999"):
        to_rfc3339(value)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00+00:01"])
def test_a_client_gives_no_time_before_1970_in_utc(text):
    with pytest.raises(ValueError, match="from the year 1970 to 9999 in UTC"):
        submitted_time(text)


def test_a_client_may_give_the_first_moment_of_1970_in_any_offset():
    assert submitted_time("1970-01-01T00:00:00Z") == submitted_time("1970-01-01T14:00:00+14:00") == 0
    assert submitted_time(datetime.now(UTC).isoformat()) > 0
