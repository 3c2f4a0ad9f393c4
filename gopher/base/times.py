"""Converts times between Unix milliseconds and RFC 3339 in UTC with `Z`. Both directions cover the same range."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from gopher.base.patterns import regex

#: Unix milliseconds of the first and the last time that RFC 3339 can represent in UTC: the years 1 to 9999.
FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
EXPECTED = "an RFC 3339 time with an offset, such as 2026-11-24T08:00:00Z, from the year 1970 to 9999 in UTC"

#: Section 5.6, with its note that a space may separate date and time.
_RFC3339 = regex(
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - on the clock of the offset


def to_rfc3339(milliseconds: float) -> str:
    """Return `2026-11-24T08:00:00.000Z` for Unix milliseconds. Raises ValueError outside the years 1 to 9999."""
    if not FIRST <= milliseconds <= LAST:
        raise ValueError(f"{milliseconds} ms is outside the years 1 to 9999")
    seconds, rest = divmod(int(milliseconds), 1000)
    return f"{_to_the_second(seconds)}.{rest:03}Z"


@lru_cache(maxsize=256)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def from_rfc3339(text: str) -> int:
    """Return the Unix milliseconds of an RFC 3339 time. Raises ValueError for times that `to_rfc3339` can't format.

    A leap second, which can only be 23:59:60 in UTC, is read as the second after it.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {EXPECTED}")
    day, minute, second, fraction, sign, hours, minutes = match.groups()
    leaps = second == "60"
    local = datetime.fromisoformat(f"{day} {minute}:{'59' if leaps else second}")
    ahead = timedelta(hours=int(hours), minutes=int(minutes)) if sign else timedelta()
    since = local - _EPOCH + (ahead if sign == "-" else -ahead)
    if leaps and since.seconds != _DAY - 1:
        raise ValueError(f"expected {EXPECTED}")
    whole = (since.days * _DAY + since.seconds + leaps) * 1000
    value = whole + (round(float(f"0.{fraction}") * 1000) if fraction else 0)
    if not FIRST <= value <= LAST:
        raise ValueError(f"expected {EXPECTED}")
    return value


def submitted_time(text: str) -> int:
    """Return the Unix milliseconds of a client's time. Raises ValueError, also for a time before 1970."""
    value = from_rfc3339(text)
    if value < 0:
        raise ValueError(f"expected {EXPECTED}")
    return value
