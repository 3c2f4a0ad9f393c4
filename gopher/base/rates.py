"""Parses and formats rates: `10/s`, `600/m`, `5/h`, `1/10s`."""

import msgspec

from gopher.base.patterns import regex

_TEXT = regex(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*([0-9]*)\s*(s|m|h|d)")
#: Maximum number of characters, so that no number exceeds the range of a float.
_LONGEST = 100
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

#: Maximum starts per second.
FASTEST = 1_000_000
#: One per year. A slower rate is 0, or a mistake.
SLOWEST = 1 / (366 * 86_400)
EXPECTED = f"a rate such as 10/s, 600/m, 5/h or 1/10s, from 1/366d to {FASTEST}/s"


class Rate(msgspec.Struct, frozen=True):
    """A count in a period of seconds: `100/m` is `Rate(100.0, 60.0)`."""

    count: float
    period: float

    @property
    def per_second(self) -> float:
        return self.count / self.period


def parse_rate(text: str) -> Rate:
    """Parse a rate: `parse_rate("600/m")` is `Rate(600.0, 60.0)`.

    Raises ValueError with what is expected; zero, such as `0/s`, is valid.
    """
    match = _TEXT.fullmatch(text.strip().lower()) if len(text) <= _LONGEST else None
    period = float(match[2] or 1) * _SECONDS[match[3]] if match else 0.0
    if match is None or not period:
        raise ValueError(f"expected {EXPECTED}")
    rate = Rate(float(match[1]), period)
    # One in 366 days is below itself by its last bit.
    if rate.count and not SLOWEST * 0.999 <= rate.per_second <= FASTEST:
        raise ValueError(f"expected {EXPECTED}")
    return rate


def format_rate(per_second: float) -> str:
    """Format a rate in a suitable unit, in the format of `parse_rate`.

    `format_rate(10.0)` is `10/s`, `format_rate(5 / 3600)` `5/h`, `format_rate(1 / (2 * 86_400))` `1/2d`.
    """
    if not per_second:
        return "0/s"
    for unit, seconds in _SECONDS.items():
        if _is_whole(per_second * seconds):
            return f"{round(per_second * seconds)}/{unit}"
    if _is_whole(1 / per_second / 86_400):
        return f"1/{round(1 / per_second / 86_400)}d"
    unit = next((unit for unit, seconds in _SECONDS.items() if per_second * seconds >= 1), "d")
    # Never `3e-08`, which is no rate.
    return f"{per_second * _SECONDS[unit]:.9f}".rstrip("0").rstrip(".") + f"/{unit}"


def _is_whole(count: float) -> bool:
    return count >= 1 and abs(count - round(count)) < 1e-9 * count
