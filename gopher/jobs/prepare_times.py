"""The times and durations of a submission. Invalid ones raise an `InvalidJob` with the field."""

from gopher.base.durations import parse_duration
from gopher.base.times import EXPECTED as EXPECTED_TIME
from gopher.base.times import submitted_time
from gopher.errors import InvalidJob

from .fields import Duration
from .ranges import LONGEST_TIMEOUT, LONGEST_WAIT
from .submission import Submission


def read_timeout(value: Duration | None) -> float | None:
    seconds = duration(value, "/timeout", LONGEST_TIMEOUT)
    if seconds is not None and seconds <= 0:
        raise InvalidJob("must be greater than 0", "/timeout")
    return seconds


def duration(value: Duration | None, field: str, longest: float = LONGEST_WAIT) -> float | None:
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise InvalidJob(f"is {value!r:.60}: {error}", field) from None
    if seconds > longest:
        raise InvalidJob(f"is {value!r:.60}: the maximum is {longest / 86400:g} days", field)
    return seconds


def read_due(submission: Submission, present: int) -> tuple[str, int | None]:
    """Return when the job is due in the format of `NewJob`, and the time to show (ms)."""
    if submission.execute_at is not None and submission.delay is not None:
        raise InvalidJob("can't be given together with delay: send one of them", "/execute_at")
    if submission.execute_at is not None:
        due = _instant(submission.execute_at, "/execute_at", present)
        return str(due), due
    delay = round((duration(submission.delay, "/delay") or 0) * 1000)
    return (f"+{delay}", present + delay) if delay else ("", None)


def read_expires(submission: Submission, present: int) -> str:
    """Return when the job expires in the format of `NewJob`."""
    if submission.expires_at is not None and submission.expires_in is not None:
        raise InvalidJob("can't be given together with expires_in: send one of them", "/expires_at")
    if submission.expires_at is not None:
        # Whether it is in the past is decided by the server's clock, when the job is stored.
        return str(_instant(submission.expires_at, "/expires_at", present))
    limit = duration(submission.expires_in, "/expires_in")
    if limit is not None and limit <= 0:
        raise InvalidJob("must be greater than 0: the job would never run", "/expires_in")
    return f"+{round(limit * 1000)}" if limit else ""


def _instant(text: str, field: str, present: int) -> int:
    try:
        value = submitted_time(text)
    except ValueError:
        raise InvalidJob(f"is {text!r:.60}: expected {EXPECTED_TIME}", field) from None
    if value > present + LONGEST_WAIT * 1000:
        raise InvalidJob(f"is {text!r:.60}: the maximum is {LONGEST_WAIT / 86400:g} days ahead", field)
    return value
