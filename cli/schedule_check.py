"""`doctor`'s check of schedules: those whose expression means something else in other queues."""

import re
from datetime import UTC, datetime
from itertools import islice

from gopher.client import Client
from gopher.errors import InvalidJob
from gopher.jobs.cron import expand
from gopher.jobs.cron_fields import parse
from gopher.jobs.models import ScheduleView

from .checks import Check, Finding

#: Number of times of each schedule that are compared, and of schedules.
_COMPARED, _MOST = 60, 100
#: Others are read alike.
_MAY_DIFFER = re.compile(r"[-#lw]", re.IGNORECASE)
#: As in cron_fields: a 29 February that has to be a Sunday.
_YEARS = 41


def schedule_check(gopher: Client) -> Check:
    """Compare the next times of schedules with those of croniter, which earlier versions of Gopher used.

    It reads a few expressions unlike Debian's cron.
    """
    schedules = gopher.schedules.all()
    suspects = (each for each in schedules if _MAY_DIFFER.search(each.cron_expression))
    findings = [finding for each in islice(suspects, _MOST) if (finding := _finding(each))]
    return Check("schedules", f"{len(schedules)} schedules", findings)


def _finding(schedule: ScheduleView) -> Finding | None:
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        ours = _ours(schedule.cron_expression, now)
    except (InvalidJob, ValueError):
        # A corrupt record, which lists of schedules show.
        return None
    theirs = _croniters(schedule.cron_expression, now)
    if ours == theirs or not ours:
        return None
    first, other = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), (ours[-1], None))
    instead = f"at {other:%Y-%m-%d %H:%M:%S}" if other else "not at all"
    return Finding(
        f"{schedule.name} ({schedule.cron_expression}) fires at {first:%Y-%m-%d %H:%M:%S}, as in Debian's cron; in "
        f"croniter, which earlier versions used, {instead}",
        "If that is not what you expect, write the values as a list: `gopherctl schedules add --help`.",
    )


def _ours(expression: str, now: datetime) -> list[datetime]:
    fields, wall, times = parse(expand(expression)), now.replace(tzinfo=None), list[datetime]()
    while len(times) < _COMPARED and (found := fields.after(wall)):
        times.append(found)
        wall = found
    return times


def _croniters(expression: str, now: datetime) -> list[datetime]:
    from croniter import CroniterError, croniter

    try:
        times = croniter(
            expand(expression),
            now,
            second_at_beginning=True,
            max_years_between_matches=_YEARS,
            implement_cron_bug=True,
        ).all_next(datetime)
        return [time.replace(tzinfo=None) for time in islice(times, _COMPARED)]
    except (CroniterError, ValueError, KeyError, TypeError, IndexError):
        return []
