"""The times of a schedule in a timezone: what cron expressions and intervals have in common."""

from datetime import UTC, datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from gopher.base.times import to_rfc3339
from gopher.errors import InvalidJob

#: Maximum range of a preview, in milliseconds: a hundred years.
_PREVIEW = 36_525 * 86_400_000
#: Number of searched times that are kept.
_SEARCHED = 4

#: Set if daylight saving time shifted a time or made it ambiguous.
Mark = Literal["", "gap", "fold"]


class Fire(NamedTuple):
    """A time at which a schedule fires. `mark` is set if daylight saving time shifted it or made it ambiguous."""

    utc: str
    local: str
    mark: Mark


class FireTimes:
    """Times in Unix milliseconds. Raises InvalidJob (/timezone) if the timezone is unknown."""

    def __init__(self, expression: str, timezone: str) -> None:
        self.expression = expression
        self.timezone = timezone
        self._zone = _zone(timezone)
        #: Moments without a time in between, and the next time: the last ones that were searched.
        self._searched: tuple[tuple[int, int], ...] = ()

    def next_after(self, moment: int) -> int:
        """Return the first time strictly after `moment` (Unix ms).

        Thousands of schedules with the same expression ask for the same times: they are searched once.
        """
        searched = self._searched
        for start, end in searched:
            if start <= moment < end:
                return end
        found = self._next(moment)[0]
        # Another thread may do the same at the same time: one of the results is then forgotten.
        self._searched = ((moment, found), *searched[: _SEARCHED - 1])
        return found

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
            rows.append(Fire(to_rfc3339(after), at(after, self._zone).isoformat(timespec="seconds"), mark))
        return rows

    def _next(self, moment: int) -> tuple[int, Mark]:
        raise NotImplementedError


def at(moment: int, zone: ZoneInfo) -> datetime:
    """Return a moment (Unix ms) as the local time of a zone."""
    return datetime.fromtimestamp(moment / 1000, UTC).astimezone(zone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise InvalidJob(f"is {name!r:.60}: expected an IANA name such as Europe/Berlin", "/timezone") from None
