"""Parses and formats durations: `10s`, `500ms`, `1h30m`, `2d`, or a number of seconds."""

from datetime import timedelta

from gopher.base.patterns import regex

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = regex(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NUMBER = regex(r"[0-9]+(?:\.[0-9]+)?")

#: What a duration looks like, for error messages.
PATTERN = rf"\s*(?:{_NUMBER.pattern}|(?:{_NUMBER.pattern}(?:[mM][sS]|[sSmMhHdD]))+)\s*"
EXPECTED = "a duration such as 10s, 500ms, 1h30m, 30d, or a bare number of seconds"
#: Seconds: a hundred years. Longer ones could not be added to a time, and are surely mistakes.
LONGEST = 36_525 * 86_400.0
_TOO_LONG = f"expected {EXPECTED}, of at most {LONGEST / 86_400:.0f}d (a hundred years)"


def parse_duration(value: str | float | timedelta) -> float:
    """Return a duration in seconds.

    `parse_duration("1h30m")` is 5400.0, `parse_duration("500ms")` is 0.5, `parse_duration(3)` is 3.0,
    `parse_duration(timedelta(minutes=1))` is 60.0.
    Raises ValueError with what is expected for anything but a duration from 0 to a hundred years.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected {EXPECTED}")
    if isinstance(value, str):
        return _bounded(_parse_text(value.strip().lower()))
    # NaN is not >= 0 either.
    if not value >= 0:
        raise ValueError(f"expected {EXPECTED}")
    return _bounded(value)


def _bounded(seconds: float) -> float:
    # Compared first: an integer of hundreds of digits can't be converted to a float.
    if seconds > LONGEST:
        raise ValueError(_TOO_LONG)
    return float(seconds)


def _parse_text(text: str) -> float:
    if _NUMBER.fullmatch(text):
        return float(text)
    total, position = 0.0, 0
    while part := _PART.match(text, position):
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if position != len(text) or not text:
        raise ValueError(f"expected {EXPECTED}")
    # To the nanosecond: 1.1 times 0.001 is more than 0.0011.
    return round(total, 9)


def in_seconds(milliseconds: float) -> float:
    """Return milliseconds as seconds, to the microsecond: 0.344 is 0.000344, not 0.00034399999999999996."""
    return round(milliseconds / 1000, 6)


def format_duration(seconds: float) -> str:
    """Format seconds in the shortest form: `5400` is `1h30m`, `0.25` is `250ms`."""
    if 0 < seconds < 0.001:
        return f"{seconds * 1000:.2g}ms" if seconds >= 1e-6 else "0ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    parts = []
    left = round(seconds)
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_UNITS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
